//! The `weaverec` binary: the command line of [`weaverec_bench`].

/// How many threads candle's own pool for element-wise work has.
const CANDLE_THREADS: &str = "CANDLE_NUM_THREADS";

fn main() -> std::process::ExitCode {
    // That pool is one for all trainings, and its threads spin while they wait, on cores that trainings side by side are using.
    if std::env::var_os(CANDLE_THREADS).is_none() {
        // SAFETY: no other thread runs yet.
        unsafe { std::env::set_var(CANDLE_THREADS, "1") };
    }
    weaverec_bench::cli::run()
}
