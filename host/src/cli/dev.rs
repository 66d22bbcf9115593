//! `jackfield dev DIR`: serves a site while its plugins are being written.

use std::process::ExitCode;

use crate::dev::Dev;
use crate::log::Reader;

use super::say;
use super::serve::{self, Served};

/// Command-line arguments of `jackfield dev`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    serve: serve::Args,
}

/// Builds all bundles with sources, and serves the site; rebuilds until the process receives a
/// signal to stop. A site that cannot be served is tried again after each change.
pub(crate) fn run(args: Args) -> ExitCode {
    serve::run_with(args.serve, Reader::Author, async |service| {
        let mut dev = match Dev::new(service.site(), service.config()) {
            Ok(dev) => dev,
            Err(error) => {
                say(format_args!("error: failed to {error}"));
                return Served::Failed;
            }
        };
        if !service.can_listen().await {
            return Served::Failed;
        }
        service.accept_unsigned();
        let stop = service.stop();
        if stop.or(dev.build_changed()).await.is_none() {
            return Served::Stopped;
        }
        loop {
            let fingerprint = dev.fingerprint().await;
            // A stop ends the build at once; the server still has to close its connections.
            let building = async {
                stop.or(dev.run()).await;
                std::future::pending().await
            };
            let served = tokio::select! {
                served = service.serve() => served,
                served = building => served,
            };
            if !matches!(served, Served::Broken) {
                return served;
            }
            say("waiting for a change of the site or its sources");
            if stop.or(dev.site_changed(fingerprint)).await.is_none() {
                return Served::Stopped;
            }
        }
    })
}
