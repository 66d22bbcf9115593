//! Export: a queue of spans, and a thread that sends them in batches.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jackfield_text::Untrusted;
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags,
    TraceId, TraceState, Tracer, TracerProvider,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{
    Protocol, SpanExporter as OtlpExporter, WithExportConfig, WithHttpConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, SpanData,
    SpanExporter,
};
use tokio::runtime::Handle;
use tracing::warn;

use super::collector::{CollectorClient, TIMEOUT};
use super::{Collector, OpenError, Parent, Span, SpanCounts};

/// The maximum number of spans that wait. Further ones are dropped.
const MAX_WAITING: u64 = 2_048;
/// The maximum number of spans in a request.
const MAX_BATCH: usize = 512;
/// The longest time for which a span waits for others.
const MAX_DELAY: Duration = Duration::from_secs(2);
/// The time in which the last spans are sent at the end.
const MAX_CLOSE_TIME: Duration = Duration::from_secs(2);
/// The shortest time between two lines about failures in the log.
const LOG_PAUSE: Duration = Duration::from_mins(1);
/// The maximum size of an error in the log, in bytes.
const MAX_ERROR_BYTES: usize = 200;

/// An export of spans.
#[derive(Debug)]
pub struct SpanExport {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    queued: AtomicU64,
    sent: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

impl SpanExport {
    /// Opens the export. It connects when there are spans. To be called within a runtime, whose tasks
    /// send the requests.
    ///
    /// # Errors
    /// When the endpoint or a header cannot be used.
    pub fn open(collector: Collector) -> Result<Self, OpenError> {
        let Collector { endpoint, headers, service, version } = collector;
        let client = CollectorClient::open(&endpoint, Handle::current())?;
        let exporter = OtlpExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint.as_str())
            .with_timeout(TIMEOUT)
            .with_headers(headers.into_iter().collect())
            .build()
            .map_err(|error| OpenError::Invalid(error.to_string()))?;
        let counters = Arc::new(Counters::default());
        let exporter = CountingExporter {
            exporter,
            endpoint,
            counters: Arc::clone(&counters),
            logged_at: Mutex::default(),
        };
        let config = BatchConfigBuilder::default()
            // Threads that look at the count at once may exceed it; nothing is dropped without a count.
            .with_max_queue_size(usize::try_from(2 * MAX_WAITING).unwrap_or(usize::MAX))
            .with_max_export_batch_size(MAX_BATCH)
            .with_scheduled_delay(MAX_DELAY)
            .build();
        let resource = Resource::builder()
            .with_service_name(service)
            .with_attribute(KeyValue::new("service.version", version))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(
                BatchSpanProcessor::builder(exporter).with_batch_config(config).build(),
            )
            // The messages were sampled before.
            .with_sampler(Sampler::AlwaysOn)
            .with_resource(resource)
            .build();
        let tracer = provider.tracer("jackfield");
        Ok(Self { provider, tracer, counters })
    }

    /// Queues a span with those within it, or drops them if too many wait.
    pub fn send(&self, span: Span, parent: Option<Parent>) {
        let count = count(&span);
        if self.counters.waiting() + count > MAX_WAITING {
            self.counters.dropped.fetch_add(count, Ordering::Relaxed);
            return;
        }
        self.counters.queued.fetch_add(count, Ordering::Relaxed);
        let parent = parent.map_or_else(Context::new, |parent| {
            within(SpanContext::new(
                TraceId::from_bytes(parent.trace),
                SpanId::from_bytes(parent.span),
                TraceFlags::SAMPLED,
                true,
                TraceState::NONE,
            ))
        });
        self.queue(span, SpanKind::Server, &parent);
    }

    fn queue(&self, span: Span, kind: SpanKind, parent: &Context) {
        let Span { name, began, ended, attributes, error, within: inner } = span;
        let attributes = attributes.into_iter().map(|(key, value)| KeyValue::new(key, value));
        let builder = SpanBuilder::from_name(name)
            .with_kind(kind)
            .with_start_time(began)
            .with_attributes(attributes);
        let mut span = self.tracer.build_with_context(builder, parent);
        if let Some(error) = error {
            span.set_status(Status::error(error));
        }
        let own = within(span.span_context().clone());
        for span in inner {
            self.queue(span, SpanKind::Internal, &own);
        }
        span.end_with_timestamp(ended);
    }

    /// The counts of spans.
    pub fn counts(&self) -> SpanCounts {
        let Counters { sent, failed, dropped, .. } = &*self.counters;
        let [sent, failed, dropped] =
            [sent, failed, dropped].map(|count| count.load(Ordering::Relaxed));
        SpanCounts { sent, failed, dropped }
    }

    /// Sends the spans that wait, and ends the export. Blocks for at most two seconds.
    pub fn close(&self) {
        // A failure was logged by the exporter.
        let _ended = self.provider.shutdown_with_timeout(MAX_CLOSE_TIME);
    }
}

/// The number of spans in a span.
fn count(span: &Span) -> u64 {
    1 + span.within.iter().map(count).sum::<u64>()
}

fn within(parent: SpanContext) -> Context {
    Context::new().with_remote_span_context(parent)
}

impl Counters {
    /// The spans that are queued, or on their way.
    fn waiting(&self) -> u64 {
        let ended = self.sent.load(Ordering::Relaxed) + self.failed.load(Ordering::Relaxed);
        self.queued.load(Ordering::Relaxed).saturating_sub(ended)
    }
}

/// Counts the spans that leave the queue, and logs failures.
#[derive(Debug)]
struct CountingExporter {
    exporter: OtlpExporter,
    endpoint: String,
    counters: Arc<Counters>,
    /// When a failure was logged last.
    logged_at: Mutex<Option<Instant>>,
}

impl CountingExporter {
    /// Whether a failure is logged now.
    fn is_logged(&self, now: Instant) -> bool {
        let mut logged_at = self.logged_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = logged_at.is_none_or(|at| now.saturating_duration_since(at) >= LOG_PAUSE);
        if is_due {
            *logged_at = Some(now);
        }
        is_due
    }
}

impl SpanExporter for CountingExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let result = self.exporter.export(batch).await;
        let Err(error) = &result else {
            self.counters.sent.fetch_add(count, Ordering::Relaxed);
            return result;
        };
        let failed = self.counters.failed.fetch_add(count, Ordering::Relaxed) + count;
        if self.is_logged(Instant::now()) {
            let error = error.to_string();
            let error = Untrusted::new(&error).at_most(MAX_ERROR_BYTES);
            let spans = if count == 1 { "1 span".to_owned() } else { format!("{count} spans") };
            warn!(
                name: "traces.failed",
                failed,
                "failed to send {spans} to {}: {error}",
                self.endpoint
            );
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
