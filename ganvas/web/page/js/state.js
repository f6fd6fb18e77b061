// What the page knows, in one place. Whoever shows a part of it watches that part.

export const state = {
  info: null, // GET /api/info: versions, limits, generators that are here
  models: [], // GET /api/models: the whole catalogue
  session: null, // GET /api/sessions/{id}: the photo on the bench, or null
  project: null, // GET /api/projects/{id}: the one the photo belongs to, or null
  projects: [], // GET /api/projects, for the start page
  name: "", // the photo's file name, for the title and the saved file
  area: "edit", // edit | directions | training | models
  tool: "hand", // hand | drag | brush
  tab: "adjust", // adjust | style | enlarge | history
  compare: "after", // after | before | split
  job: null, // the session's job that runs now, or null
  breakups: [], // GET /api/sessions/{id}/breakups: sliders that stand too far out, and how far each holds
  keep: new Set(), // directions that shall hold still while others move
  connected: true, // whether the session's socket is open
};

const watchers = new Map();

/** Whether the photo can be undone, enlarged, translated and saved; that needs no face. */
export const canFinish = () => Boolean(state.session) && state.session.state !== "inverting";

/** Whether there is more to show than the photo as it was opened. */
export const isEdited = () => state.session?.state === "ready" || (canFinish() && state.session.history?.length > 1);

/** Call `listener` whenever one of these keys is updated, until the function that comes back is called. */
export function watch(keys, listener) {
  for (const key of keys) {
    if (!watchers.has(key)) watchers.set(key, new Set());
    watchers.get(key).add(listener);
  }
  return () => {
    for (const key of keys) watchers.get(key).delete(listener);
  };
}

/** Change some keys; each listener is called once, however many of its keys changed. */
export function update(patch) {
  const called = new Set();
  Object.assign(state, patch);
  for (const key of Object.keys(patch)) for (const listener of watchers.get(key) ?? []) called.add(listener);
  for (const listener of called) listener();
}
