//! LoRA adapters as PEFT defines and stores them: `y = x Wᵀ + scale · (dropout(x) Aᵀ) Bᵀ`.

pub(crate) mod attach;
mod base;
pub mod card;
pub mod config;
pub(crate) mod copy;
pub(crate) mod coverage;
pub mod folder;
pub mod trainable;

pub use crate::backbone::Base;
pub use card::Card;
pub use config::LoraConfig;
pub use folder::{Adapter, LoraModule, Reading};
pub use trainable::TrainableLora;
