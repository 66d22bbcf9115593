// Models that are updated by events: the topic of a model is its URL, and an event is a map of changed
// attributes. A model is an object with a method `set`, such as a Backbone model, or a plain object.

/** The function that stops tracking, by connection and model. */
const tracked = new WeakMap();

/** Updates a model with the published attributes. Returns a function that stops it. */
export function keepRelevant(sync, model, { topic = address(model), apply = set } = {}) {
  stopTracking(sync, model);
  const handler = (attributes, event) => {
    // A repeated event may be older than the model.
    if (event?.repeated) return;
    if (attributes === null || typeof attributes !== 'object' || Array.isArray(attributes)) return;
    // Assigning `__proto__` would replace the prototype of the model.
    const entries = Object.entries(attributes).filter(([name]) => name !== '__proto__');
    apply(model, Object.fromEntries(entries));
  };
  sync.subscribe(topic, handler);
  const stop = () => {
    const models = tracked.get(sync);
    // The model may track another topic by now.
    if (models?.get(model) === stop) models.delete(model);
    sync.unsubscribe(topic, handler);
  };
  if (!tracked.has(sync)) tracked.set(sync, new WeakMap());
  tracked.get(sync).set(model, stop);
  return stop;
}

/** Stops updating a model. */
export function stopTracking(sync, model) {
  tracked.get(sync)?.get(model)?.();
}

function address(model) {
  const url = typeof model.url === 'function' ? model.url() : model.url;
  if (!url) throw new TypeError('the model needs a `url`, or the option `topic`');
  return url;
}

function set(model, attributes) {
  if (typeof model.set === 'function') return model.set(attributes);
  for (const [name, value] of Object.entries(attributes)) {
    // Publishers must not replace methods or the URL.
    if (name !== 'url' && typeof model[name] !== 'function') model[name] = value;
  }
}
