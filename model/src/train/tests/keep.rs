//! Which step's values a training ends with, and when it ends.

use super::*;

#[test]
fn training_lowers_the_held_out_loss_and_keeps_the_best_step() {
    let (adapter, outcome) = train(None, &mut |_| ()).unwrap();
    let first = outcome.curve[0].1;
    assert!(
        outcome.held_out_loss.unwrap() < 0.8 * first,
        "{:?} from {first}",
        outcome.held_out_loss
    );
    let best = outcome
        .held_out_curve
        .iter()
        .map(|(_, loss)| *loss)
        .fold(f64::INFINITY, f64::min);
    assert_eq!(outcome.held_out_loss, Some(best));
    let with_adapter = mean_loss(&tiny().with_adapter(&adapter).unwrap(), &examples(5), 100)
        .unwrap()
        .unwrap();
    assert!(
        (with_adapter - best).abs() < 1e-4,
        "the adapter is that of the best step"
    );
}

#[test]
fn the_last_step_is_kept_where_that_is_asked_for_whatever_the_looks_find() {
    let held_out = unlike_training();
    let (best, of_best) = overtrained(Keep::Best, &held_out, None, &mut |_| ());
    let (last, of_last) = overtrained(Keep::Last, &held_out, None, &mut |_| ());
    assert_eq!(of_last.curve, of_best.curve, "the same training, ended otherwise");
    assert_eq!(of_last.held_out_curve, of_best.held_out_curve);
    assert!(of_best.best_step < of_best.steps && values(&best) != values(&last));
    assert_eq!((of_last.steps, of_last.best_step), (30, 30));
    let (step, loss) = *of_last.held_out_curve.last().unwrap();
    assert_eq!((step, Some(loss)), (30, of_last.held_out_loss));
    let with_adapter = mean_loss(&tiny().with_adapter(&last).unwrap(), &held_out, 100).unwrap();
    assert!(
        (with_adapter.unwrap() - loss).abs() < 1e-3,
        "the adapter is that of the last step"
    );
    // What is only looked at changes nothing.
    let (unseen, of_unseen) = overtrained(Keep::Last, &[], None, &mut |_| ());
    assert_eq!(values(&unseen), values(&last));
    assert_eq!((of_unseen.best_step, of_unseen.held_out_loss), (30, None));
}

#[test]
fn what_names_a_training_has_a_word_on_what_it_keeps_only_where_that_is_not_the_best() {
    let written = |keep| serde_json::to_value(TrainConfig { keep, ..config() }).unwrap();
    assert_eq!(written(Keep::Best).get("keep"), None);
    assert_eq!(written(Keep::Last)["keep"], "last");
    for keep in [Keep::Best, Keep::Last] {
        let read: TrainConfig = serde_json::from_value(written(keep)).unwrap();
        assert_eq!(read.keep, keep);
    }
}

#[test]
fn held_out_examples_without_an_answer_choose_nothing() {
    let silent = vec![Example {
        tokens: vec![1, 2, 4],
        loss_from: 3,
    }];
    assert_eq!(mean_loss(&tiny(), &silent, 100).unwrap(), None);
    let trained = |held_out: &[Example]| {
        let trained = train_lora(
            &tiny(),
            lora(0.0),
            &examples(8),
            held_out,
            &config(),
            SEEDS,
            None,
            &mut |_| (),
        );
        trained.unwrap()
    };
    let (adapter, outcome) = trained(&silent);
    assert_eq!((outcome.best_step, outcome.held_out_loss), (outcome.steps, None));
    assert_eq!(values(&adapter), values(&trained(&[]).0));
}

#[test]
fn early_stopping_ends_a_training_that_no_longer_improves() {
    let config = TrainConfig {
        epochs: 60,
        patience: 2,
        evaluate_every: 1,
        ..config()
    };
    let (_, outcome) = train_lora(
        &tiny(),
        lora(0.0),
        &examples(4),
        &examples(12),
        &config,
        SEEDS,
        None,
        &mut |_| (),
    )
    .unwrap();
    assert!(outcome.steps < 60, "stopped after {} steps", outcome.steps);
    assert!(outcome.best_step <= outcome.steps);
}
