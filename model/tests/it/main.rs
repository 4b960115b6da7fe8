//! What this crate computes beside what other tools compute: transformers, PEFT and llama.cpp.
//!
//! Fixtures stand beside the Python scripts that made them. Tests that need Python or a downloaded model say so and pass when there
//! is none: set `WEAVEREC_PYTHON` to a Python with `fixtures/requirements.txt`, `WEAVEREC_SMOLLM2` and `WEAVEREC_GEMMA3` to
//! the GGUF files, `WEAVEREC_MINILM` to the folder of the sentence encoder. `make test-peft` does all of it but the last. Prompts of real
//! titles need the folder of logs that `WEAVEREC_SHARED` names.
//!
//! Decoders run on the device that `WEAVEREC_TEST_DEVICE` names (`cuda`, in a build with that feature), otherwise on the CPU.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod adapter;
mod chat;
mod common;
mod damage;
mod families;
mod gemma3;
mod gguf;
mod minilm;
mod peft;
mod prompts;
mod rewritten;
mod shards;
mod smollm2;
