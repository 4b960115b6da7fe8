//! Models that are known for what they are and cannot be used: said before any key is missed that only a decoder has.

use serde_json::{Map, Value};

use super::Family;

/// Refuses, with the reason, a `config.json` of another kind of model than a decoder with an output head in plain numbers.
pub(super) fn check(config: &Map<String, Value>) -> Result<(), String> {
    let text = |key: &str| config.get(key).and_then(Value::as_str);
    let known = || {
        let names = Family::ALL.map(Family::name);
        format!("take a model of type {}", names.join(", "))
    };
    if let Some(settings) = config.get("quantization_config").filter(|value| !value.is_null()) {
        let method = settings.get("quant_method").and_then(Value::as_str);
        let bits = ["load_in_4bit", "load_in_8bit"].map(|key| settings.get(key).and_then(Value::as_bool));
        let method = match method {
            Some(method) => method,
            None if bits.contains(&Some(true)) => "bitsandbytes",
            None => "unknown",
        };
        return Err(format!(
            "quantization_config: the weights are quantised (quant_method \"{method}\"), which is not read; take the model that they were \
             made from, or a GGUF file of it"
        ));
    }
    let nested = ["text_config", "llm_config", "language_config", "thinker_config"]
        .into_iter()
        .find(|key| config.get(*key).is_some_and(Value::is_object));
    if let Some(part) = nested {
        let inner = config[part].get("model_type").and_then(Value::as_str);
        let has = match inner {
            Some(inner) => format!(", whose text part is of type \"{inner}\""),
            None => String::new(),
        };
        return Err(format!(
            "model_type \"{}\" is a model of more than text ({part}){has}; {}, alone",
            text("model_type").unwrap_or("none"),
            known()
        ));
    }
    if let Some(kind) = text("model_type")
        && Family::of(kind).is_err()
    {
        let what = match kind {
            _ if config.contains_key("vision_config") || config.contains_key("image_size") => {
                " (it sees images)"
            }
            _ if config.get("is_encoder_decoder") == Some(&Value::Bool(true)) => {
                " (an encoder and a decoder)"
            }
            _ if ENCODERS.iter().any(|name| kind.contains(name)) => " (an encoder, which continues no text)",
            _ => "",
        };
        return Err(format!(
            "model_type \"{kind}\"{what} is not implemented; {}",
            known()
        ));
    }
    let architectures = config.get("architectures").and_then(Value::as_array);
    let architecture = architectures.and_then(|names| names.first()?.as_str());
    match architecture {
        Some(name) if !name.ends_with("ForCausalLM") && HEADLESS.iter().any(|end| name.ends_with(end)) => {
            Err(format!(
                "architectures \"{name}\" has no output head for tokens; take the model's …ForCausalLM"
            ))
        }
        _ => Ok(()),
    }
}

/// Parts of the names of model types that read and do not write.
const ENCODERS: [&str; 5] = ["bert", "electra", "mpnet", "longformer", "nomic"];

/// How architectures end that lack what ranks tokens.
const HEADLESS: [&str; 6] = [
    "Model",
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "RewardModel",
    "ForMaskedLM",
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn other_models_are_named_for_what_they_are() {
        for (json, words) in [
            (
                r#"{"model_type": "gpt2", "n_embd": 768}"#,
                &["gpt2", "llama, qwen2, qwen3, gemma3_text"][..],
            ),
            (r#"{"model_type": "bert"}"#, &["bert", "encoder"]),
            (r#"{"model_type": "modernbert"}"#, &["modernbert", "encoder"]),
            (
                r#"{"model_type": "t5", "is_encoder_decoder": true}"#,
                &["t5", "an encoder and a decoder"],
            ),
            (r#"{"model_type": "vit", "image_size": 224}"#, &["vit", "images"]),
            (
                r#"{"model_type": "gemma3", "text_config": {"model_type": "gemma3_text"}, "vision_config": {}}"#,
                &["gemma3", "text_config", "\"gemma3_text\""],
            ),
            (
                r#"{"model_type": "llama", "quantization_config": {"quant_method": "gptq", "bits": 4}}"#,
                &["quantization_config", "gptq", "GGUF"],
            ),
            (
                r#"{"model_type": "llama", "quantization_config": {"load_in_4bit": true}}"#,
                &["bitsandbytes"],
            ),
            (
                r#"{"model_type": "qwen2", "architectures": ["Qwen2ForSequenceClassification"]}"#,
                &["Qwen2ForSequenceClassification", "head"],
            ),
            (
                r#"{"model_type": "llama", "architectures": ["LlamaModel"]}"#,
                &["LlamaModel"],
            ),
        ] {
            let error = check(&serde_json::from_str(json).unwrap()).unwrap_err();
            for word in words {
                assert!(error.contains(word), "no `{word}` in {error}");
            }
        }
        for json in [
            r#"{"model_type": "llama", "quantization_config": null, "architectures": ["LlamaForCausalLM"]}"#,
            r#"{"architectures": ["SmolLMOfSomebodyForCausalLM"]}"#,
            r#"{"model_type": "gemma3_text", "architectures": null}"#,
        ] {
            check(&serde_json::from_str(json).unwrap()).unwrap();
        }
    }
}
