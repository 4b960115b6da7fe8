//! The `weaverec` binary: the command line of [`weaverec_bench`].

/// Training allocates and frees many activations of the same sizes, which this allocator reuses without asking the system.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    weaverec_bench::cli::run()
}
