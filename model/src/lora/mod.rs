//! LoRA adapters as PEFT defines and stores them: `y = x Wᵀ + scale · (dropout(x) Aᵀ) Bᵀ`.

pub mod config;
pub mod folder;
pub mod trainable;

pub use config::LoraConfig;
pub use folder::{Adapter, LoraModule};
pub use trainable::TrainableLora;
