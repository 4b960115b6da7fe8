#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs::File;

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device};

use super::*;

const WIDTH: usize = 32;

fn config() -> DecoderConfig {
    serde_json::from_str(
        r#"{"vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
            "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-5, "rope_theta": 100000.0,
            "max_position_embeddings": 128, "tie_word_embeddings": true, "bos_token_id": 1, "eos_token_id": 2}"#,
    )
    .unwrap()
}

fn counting(rows: usize, columns: usize) -> Tensor {
    let values: Vec<f32> = (0..rows * columns).map(|i| (i as f32 * 0.37).sin()).collect();
    Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
}

fn weights() -> Weights {
    let tensors = [
        ("model.embed_tokens.weight", counting(64, WIDTH)),
        ("lm_head.weight", counting(8, WIDTH)),
    ];
    Weights::from_tensors(tensors.map(|(name, tensor)| (name.to_string(), tensor)).into())
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The converter's own rule: for each head, row 2·i + h of the file is row h·(d/2) + i of the checkpoint.
fn as_llama_cpp_stores(weight: &Tensor, heads: usize) -> Tensor {
    let (rows, _) = weight.dims2().unwrap();
    let half = rows / heads / 2;
    let order: Vec<u32> = (0..heads)
        .flat_map(|head| (0..half).flat_map(move |i| [0, 1].map(|h| (head * 2 * half + h * half + i) as u32)))
        .collect();
    weight
        .index_select(&Tensor::new(order, &Device::Cpu).unwrap(), 0)
        .unwrap()
}

#[test]
fn a_folder_written_reads_back_equal() {
    let folder = tempfile::tempdir().unwrap();
    let before = weights();
    before.save(folder.path(), &config()).unwrap();
    let (after, read) = Weights::open(folder.path()).unwrap();
    assert_eq!(read, config());
    assert_eq!(
        after.names().collect::<Vec<_>>(),
        before.names().collect::<Vec<_>>()
    );
    assert_eq!(after.fingerprint().unwrap(), before.fingerprint().unwrap());
}

#[test]
fn shards_read_as_one_model() {
    let folder = tempfile::tempdir().unwrap();
    let whole = weights();
    let mut map = serde_json::Map::new();
    for (i, (name, tensor)) in whole.tensors.iter().enumerate() {
        let file = format!("model-0000{i}.safetensors");
        safetensors::write(&folder.path().join(&file), [(name.clone(), tensor.clone())]).unwrap();
        map.insert(name.clone(), file.into());
    }
    let index = serde_json::json!({"metadata": {}, "weight_map": map});
    std::fs::write(
        folder.path().join("model.safetensors.index.json"),
        index.to_string(),
    )
    .unwrap();
    std::fs::write(
        folder.path().join("config.json"),
        serde_json::to_string(&config()).unwrap(),
    )
    .unwrap();
    let (read, _) = Weights::open(folder.path()).unwrap();
    assert_eq!(read.fingerprint().unwrap(), whole.fingerprint().unwrap());
}

#[test]
fn gguf_metadata_and_tensors_read_as_the_checkpoint_they_came_from() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    let (q, k) = (counting(32, WIDTH), counting(16, WIDTH));
    let store = |tensor: &Tensor, kind| QTensor::quantize(tensor, kind).unwrap();
    let tensors = [
        ("token_embd.weight", store(&counting(64, WIDTH), GgmlDType::Q8_0)),
        (
            "blk.0.attn_q.weight",
            store(&as_llama_cpp_stores(&q, 4), GgmlDType::F32),
        ),
        (
            "blk.0.attn_k.weight",
            store(&as_llama_cpp_stores(&k, 2), GgmlDType::F32),
        ),
        (
            "blk.0.ffn_down.weight",
            store(&counting(WIDTH, 64), GgmlDType::F32),
        ),
    ];
    let metadata = [
        ("general.architecture", Value::String("llama".into())),
        ("llama.block_count", Value::U32(1)),
        ("llama.context_length", Value::U32(128)),
        ("llama.embedding_length", Value::U32(32)),
        ("llama.feed_forward_length", Value::U32(64)),
        ("llama.attention.head_count", Value::U32(4)),
        ("llama.attention.head_count_kv", Value::U32(2)),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
        ("llama.rope.freq_base", Value::F32(100_000.0)),
        ("llama.rope.dimension_count", Value::U32(8)),
        ("tokenizer.ggml.bos_token_id", Value::U32(1)),
        ("tokenizer.ggml.eos_token_id", Value::U32(2)),
    ];
    let metadata: Vec<_> = metadata.iter().map(|(key, value)| (*key, value)).collect();
    let stored: Vec<_> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
    gguf_file::write(&mut File::create(&path).unwrap(), &metadata, &stored).unwrap();

    for place in [path.as_path(), folder.path()] {
        let (read, read_config) = Weights::open(place).unwrap();
        assert_eq!(read_config, config());
        assert_eq!(
            values(
                &read
                    .get("model.layers.0.self_attn.q_proj.weight", &[32, 32])
                    .unwrap()
            ),
            values(&q)
        );
        assert_eq!(
            values(
                &read
                    .get("model.layers.0.self_attn.k_proj.weight", &[16, 32])
                    .unwrap()
            ),
            values(&k)
        );
        let down = read
            .get("model.layers.0.mlp.down_proj.weight", &[32, 64])
            .unwrap();
        assert_eq!(values(&down), values(&counting(WIDTH, 64)));
        let embedding = values(&read.get("model.embed_tokens.weight", &[64, 32]).unwrap());
        let error = embedding
            .iter()
            .zip(values(&counting(64, WIDTH)))
            .map(|(a, b)| (a - b).abs());
        assert!(error.fold(0.0, f32::max) < 0.005, "eight bits keep two digits");
    }
    let cut = std::fs::read(&path).unwrap();
    std::fs::write(&path, &cut[..cut.len() - 1000]).unwrap();
    assert!(
        Weights::open(&path)
            .unwrap_err()
            .to_string()
            .contains("tiny.gguf")
    );
}

#[test]
fn projections_of_a_gguf_file_stay_packed_and_are_the_same_values() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    let store = |tensor: &Tensor, kind| QTensor::quantize(tensor, kind).unwrap();
    let tensors = [
        ("token_embd.weight", store(&counting(64, WIDTH), GgmlDType::Q8_0)),
        (
            "blk.0.attn_q.weight",
            store(&counting(32, WIDTH), GgmlDType::Q4_1),
        ),
        (
            "blk.0.attn_k.weight",
            store(&counting(16, WIDTH), GgmlDType::Q5_0),
        ),
        ("blk.0.ffn_up.weight", store(&counting(64, WIDTH), GgmlDType::F16)),
        (
            "blk.0.ffn_gate.weight",
            store(&counting(64, WIDTH), GgmlDType::F32),
        ),
    ];
    let metadata = [
        ("general.architecture", Value::String("llama".into())),
        ("llama.block_count", Value::U32(1)),
        ("llama.context_length", Value::U32(128)),
        ("llama.embedding_length", Value::U32(32)),
        ("llama.feed_forward_length", Value::U32(64)),
        ("llama.attention.head_count", Value::U32(4)),
        ("llama.attention.head_count_kv", Value::U32(2)),
    ];
    let metadata: Vec<_> = metadata.iter().map(|(key, value)| (*key, value)).collect();
    let stored: Vec<_> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
    gguf_file::write(&mut File::create(&path).unwrap(), &metadata, &stored).unwrap();

    let (plain, _) = Weights::open(&path).unwrap();
    let (packed, _) = Weights::open_as(&path, Precision::AsStored).unwrap();
    assert_eq!(packed.fingerprint().unwrap(), plain.fingerprint().unwrap());
    let is_packed = |name: &str| matches!(packed.tensors[name], Matrix::Packed(_));
    for (name, expected) in [
        ("self_attn.q_proj", true),
        ("self_attn.k_proj", true),
        ("mlp.up_proj", true),
        ("mlp.gate_proj", false),
    ] {
        assert_eq!(
            is_packed(&format!("model.layers.0.{name}.weight")),
            expected,
            "{name}"
        );
    }
    assert!(!is_packed("model.embed_tokens.weight"));
    assert!(packed.bytes() < plain.bytes());
}

#[test]
fn projections_are_kept_in_the_precision_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let name = "model.layers.0.mlp.up_proj.weight";
    let values_of = |precision: Precision, tensor: Tensor| {
        let kept = precision.keep(name, tensor).unwrap();
        (kept.bytes(), values(&kept.values().unwrap()))
    };
    let exact = values(&counting(16, 64));
    // Bytes of 1,024 values, and how far off they may be.
    for (precision, bytes, tolerance) in [
        (Precision::F32, 4096, 0.0),
        (Precision::AsStored, 4096, 0.0),
        (Precision::Bf16, 2048, 0.004),
        (Precision::Q8, 1088, 0.005),
        (Precision::Q4, 640, 0.07),
    ] {
        let (size, kept) = values_of(precision, counting(16, 64));
        assert_eq!(size, bytes, "{precision:?}");
        let worst = kept
            .iter()
            .zip(&exact)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(worst <= tolerance, "{precision:?}: {worst}");
    }
    let half = counting(16, 64).to_dtype(DType::BF16).unwrap();
    let (size, kept) = values_of(Precision::AsStored, half.clone());
    assert_eq!((size, kept), (2048, values(&half.to_dtype(DType::F32).unwrap())));
    // Norms, embeddings and heads stay as they are.
    let head = Precision::Q4.keep("lm_head.weight", counting(16, 64)).unwrap();
    assert!(matches!(head, Matrix::Values(_)));
    // A row that is no multiple of a block cannot be packed, and says so.
    weights().save(folder.path(), &config()).unwrap();
    let narrow = HashMap::from([(name.to_string(), counting(4, 33))]);
    Weights::from_tensors(narrow)
        .save(folder.path(), &config())
        .unwrap();
    let error = Weights::open_as(folder.path(), Precision::Q4)
        .unwrap_err()
        .to_string();
    assert!(error.contains("33") || error.contains("32"), "{error}");
}

#[test]
fn safetensors_in_sixteen_bits_are_read_as_their_values_and_stay_packed_if_asked() {
    let name = "model.layers.0.mlp.up_proj.weight";
    for dtype in [DType::F16, DType::BF16] {
        let folder = tempfile::tempdir().unwrap();
        weights().save(folder.path(), &config()).unwrap();
        let half = counting(16, 64).to_dtype(dtype).unwrap();
        let tensors = HashMap::from([(name.to_string(), half.clone())]);
        candle_core::safetensors::save(&tensors, folder.path().join("model.safetensors")).unwrap();
        let expected = values(&half.to_dtype(DType::F32).unwrap());
        for (precision, bytes) in [(Precision::F32, 4096), (Precision::AsStored, 2048)] {
            let (read, _) = Weights::open_as(folder.path(), precision).unwrap();
            assert_eq!(values(&read.get(name, &[16, 64]).unwrap()), expected, "{dtype:?}");
            assert_eq!(read.bytes(), bytes, "{dtype:?} {precision:?}");
        }
    }
}

#[test]
fn errors_name_the_file_the_tensor_and_both_shapes() {
    let folder = tempfile::tempdir().unwrap();
    weights().save(folder.path(), &config()).unwrap();
    let (read, _) = Weights::open(folder.path()).unwrap();
    let message = read.get("lm_head.weight", &[64, 32]).unwrap_err().to_string();
    for part in [
        "lm_head.weight",
        "[8, 32]",
        "[64, 32]",
        &folder.path().display().to_string(),
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert!(
        read.get("model.norm.weight", &[32])
            .unwrap_err()
            .to_string()
            .contains("model.norm.weight")
    );
    let file = folder.path().join("model.safetensors");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    assert!(
        Weights::open(folder.path())
            .unwrap_err()
            .to_string()
            .contains("model.safetensors")
    );
    assert!(
        Weights::open(&folder.path().join("absent"))
            .unwrap_err()
            .to_string()
            .contains("no such file")
    );
}

#[test]
fn the_fingerprint_sees_names_shapes_and_values() {
    let base = weights();
    let mut other = base.clone();
    other
        .replace("lm_head.weight", (counting(8, WIDTH) * 1.0001).unwrap())
        .unwrap();
    assert_ne!(base.fingerprint().unwrap(), other.fingerprint().unwrap());
    other.replace("lm_head.weight", counting(8, WIDTH)).unwrap();
    assert_eq!(base.fingerprint().unwrap(), other.fingerprint().unwrap());
    let flat = Tensor::cat(&[counting(8, WIDTH)], 0)
        .unwrap()
        .reshape((WIDTH, 8))
        .unwrap();
    assert!(other.replace("lm_head.weight", flat).is_err());
}
