//! The `weaverec` binary: the command line of [`weaverec_bench`].

/// Variables that decide for libraries where the user has not. How many threads candle's own pool for element-wise work has: that pool is
/// one for all trainings, and its threads spin while they wait, on cores that trainings side by side are using. And whether errors carry
/// backtraces, which libraries write into their messages: a panic has its own, by `RUST_BACKTRACE`.
const DEFAULTS: [(&str, &str); 2] = [("CANDLE_NUM_THREADS", "1"), ("RUST_LIB_BACKTRACE", "0")];

fn main() -> std::process::ExitCode {
    for (name, value) in DEFAULTS {
        if std::env::var_os(name).is_none() {
            // SAFETY: no other thread runs yet.
            unsafe { std::env::set_var(name, value) };
        }
    }
    weaverec_bench::cli::run()
}
