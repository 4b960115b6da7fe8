//! The `weaverec` binary: the command line of [`weaverec_bench`].

fn main() -> std::process::ExitCode {
    weaverec_bench::cli::run()
}
