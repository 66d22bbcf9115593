// Models that follow what is published about them: a model's topic is its URL, and events are maps
// of the attributes that have changed. Anything with `set` does (a Backbone model among them), and
// so does a plain object.

/** By connection, and there by model, what stops the following. */
const tracked = new WeakMap();

/** Keeps a model's attributes as they are published. Returns a function that stops that. */
export function keepRelevant(sync, model, { topic = address(model), apply = set } = {}) {
  stopTracking(sync, model);
  const handler = (attributes, event) => {
    // A repeated event may be older than the model.
    if (event?.repeated) return;
    if (attributes === null || typeof attributes !== 'object' || Array.isArray(attributes)) return;
    // That one would not set an attribute, but what the model inherits from.
    const entries = Object.entries(attributes).filter(([name]) => name !== '__proto__');
    apply(model, Object.fromEntries(entries));
  };
  sync.subscribe(topic, handler);
  const stop = () => {
    const models = tracked.get(sync);
    // It may follow something else by now.
    if (models?.get(model) === stop) models.delete(model);
    sync.unsubscribe(topic, handler);
  };
  if (!tracked.has(sync)) tracked.set(sync, new WeakMap());
  tracked.get(sync).set(model, stop);
  return stop;
}

/** Leaves a model as it is from now on. */
export function stopTracking(sync, model) {
  tracked.get(sync)?.get(model)?.();
}

function address(model) {
  const url = typeof model.url === 'function' ? model.url() : model.url;
  if (!url) throw new TypeError('a model that is kept relevant has a `url`, or the option `topic`');
  return url;
}

function set(model, attributes) {
  if (typeof model.set === 'function') return model.set(attributes);
  for (const [name, value] of Object.entries(attributes)) {
    // What it can do is not for others to say, nor where it is.
    if (name !== 'url' && typeof model[name] !== 'function') model[name] = value;
  }
}
