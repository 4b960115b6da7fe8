//! The choice of scores that `rank` and `recommend` share.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use weaverec_pipeline::schema::PromptFormat;

use crate::experiment::backbone::LanguageModel;
use crate::experiment::calibration::Calibration;
use crate::progress::say;

/// By which scores candidates are ranked.
#[derive(Debug, Args)]
pub struct Calibrated {
    /// Rank by the scores that `weaverec calibrate` chose; without a value by calibration.json in the adapter's folder.
    #[arg(long, num_args = 0..=1, value_name = "FILE")]
    calibration: Option<Option<PathBuf>>,
}

impl Calibrated {
    /// The calibration that was asked for.
    ///
    /// # Errors
    /// A file that is none, or one of another adapter or model; and prompts that list their candidates, which no calibration is made for.
    pub fn read(
        &self,
        format: PromptFormat,
        adapter: Option<&Path>,
        model: &LanguageModel,
    ) -> Result<Option<Calibration>> {
        let Some(file) = &self.calibration else {
            return Ok(None);
        };
        if format != PromptFormat::Sequence {
            bail!(
                "prompts of this format list their candidates, which are ranked by likelihood as it is: leave --calibration out"
            );
        }
        Calibration::read(file.as_deref(), adapter, model).map(Some)
    }
}

/// Warns where the users who chose were of another prepared folder than the one that is ranked.
pub fn warn_of_other(calibration: &Calibration, prepared: &str) {
    if calibration.prepared != prepared {
        say(format!(
            "warning: the calibration was chosen by users of {}, prepared as {:.12}",
            calibration.domain, calibration.prepared
        ));
    }
}
