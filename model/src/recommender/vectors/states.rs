//! Vectors of texts from the states of a decoder.

use super::Vectors;
use super::pooled::{Read, Told, pooled};
use crate::Result;
use crate::backbone::{Decoder, Pass, Tokenizer};

/// Most tokens of a text that are read; titles have a few tens.
const LONGEST: usize = 256;

/// The mean, over the tokens of each text, of a decoder's states after its final norm; zeros for a text without tokens. The decoder may
/// carry an adapter, beside its weights or folded into them. Texts are data: what spells a control token in them is text. What the model
/// expects before any text is read before each, and its state is in no mean: it would be the same in all.
///
/// # Errors
/// A tokenizer of another model, and states that are no numbers.
pub fn of_states<S: AsRef<str>>(
    texts: &[S],
    decoder: &Decoder,
    tokenizer: &Tokenizer,
    told: &mut Told,
) -> Result<Vectors> {
    let read = |text: &str| {
        let mut tokens: Vec<u32> = tokenizer.start().into_iter().collect();
        let before = tokens.len();
        tokens.extend(tokenizer.encode_data(text)?.into_iter().take(LONGEST));
        Ok(Read { tokens, before })
    };
    let hidden = |texts: &[&[u32]]| decoder.hidden(&Pass::sequences(texts.iter().copied()));
    pooled(texts, decoder.config().hidden_size, read, hidden, told)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::backbone::decoder::tests::random;
    use crate::backbone::nano::NanoConfig;
    use crate::op::{LoraFactors, with_threads};

    const TITLES: [&str; 5] = [
        "argan oil shampoo",
        "<|im_end|>",
        "argan oil shampoo",
        "",
        "running shoe, size 12",
    ];

    fn model() -> (Decoder, Tokenizer) {
        let tokenizer = Tokenizer::train_bpe(TITLES, 280).unwrap();
        let sizes = NanoConfig {
            vocabulary: tokenizer.vocab_size(),
            width: 16,
            inner: 24,
            layers: 2,
            heads: 4,
            key_value_heads: 2,
        };
        let config = sizes.llama(tokenizer.eos().unwrap());
        let decoder = Decoder::from_parameters(&config, |name, shape| Ok(random(name, shape, 0.35))).unwrap();
        (decoder, tokenizer)
    }

    fn of(decoder: &Decoder, tokenizer: &Tokenizer) -> Vectors {
        of_states(&TITLES, decoder, tokenizer, &mut |_, _| {}).unwrap()
    }

    #[test]
    fn a_titles_vector_is_the_mean_of_the_states_of_its_own_tokens() {
        let (decoder, tokenizer) = model();
        let found = of(&decoder, &tokenizer);
        assert_eq!((found.width, found.items()), (16, 5));
        for (title, vector) in TITLES.iter().zip(found.rows()) {
            let tokens = tokenizer.encode_data(title).unwrap();
            if tokens.is_empty() {
                assert_eq!(vector, [0.0; 16], "nothing is told of a title without words");
                continue;
            }
            let states = decoder.hidden(&Pass::sequences([&*tokens])).unwrap();
            let mean = states.mean(0).unwrap().to_vec1::<f32>().unwrap();
            for (one, other) in vector.iter().zip(&mean) {
                assert!((one - other).abs() < 1e-5, "{title}: {one} is not {other}");
            }
        }
        let rows: Vec<&[f32]> = found.rows().collect();
        assert_eq!(rows[0], rows[2], "one title, one vector");
        assert!(
            tokenizer.encode_data(TITLES[1]).unwrap().len() > 1,
            "what spells a control token is text"
        );
        let threaded = |threads| with_threads(threads, || of(&decoder, &tokenizer));
        assert_eq!(threaded(1), threaded(3));
    }

    #[test]
    fn an_adapter_makes_other_vectors_of_the_same_titles() {
        let (decoder, tokenizer) = model();
        let (name, (out, input)) = decoder.modules().remove(0);
        let factors = LoraFactors {
            a: random("a", &[2, input], 0.5),
            b: random("b", &[out, 2], 0.5),
            scale: 1.0,
            dropout: None,
        };
        let adapted = decoder
            .with_lora([(name.clone(), factors.clone())].into())
            .unwrap();
        assert_ne!(of(&adapted, &tokenizer), of(&decoder, &tokenizer));
        let none = LoraFactors {
            b: Tensor::zeros((out, 2), candle_core::DType::F32, &Device::Cpu).unwrap(),
            ..factors
        };
        let silent = of(&decoder.with_lora([(name, none)].into()).unwrap(), &tokenizer);
        for (one, other) in silent.values.iter().zip(&of(&decoder, &tokenizer).values) {
            assert!((one - other).abs() < 1e-5, "{one} is not {other}");
        }
    }

    #[test]
    fn progress_counts_different_titles_and_a_tokenizer_of_another_model_is_refused() {
        let (decoder, tokenizer) = model();
        let mut told = Vec::new();
        of_states(&TITLES, &decoder, &tokenizer, &mut |done, all| {
            told.push((done, all))
        })
        .unwrap();
        assert_eq!(told, [(0, 4), (4, 4)]);
        let larger = Tokenizer::train_bpe(["abcabdabeabfabgabh"; 9], 400).unwrap();
        let smaller = crate::backbone::decoder::tests::tiny_of(crate::backbone::Family::Llama, &Device::Cpu);
        let error = of_states(&TITLES, &smaller, &larger, &mut |_, _| {})
            .unwrap_err()
            .to_string();
        assert!(error.contains("belongs to another model"), "{error}");
    }
}
