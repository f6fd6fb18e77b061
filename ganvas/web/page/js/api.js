// Calls to the server, and its errors as one kind of exception.

import { known, language, t } from "./i18n/index.js";

const TOKEN = takeToken();

/** What the server (or the way to it) refused, in words for a reader: `message` says what, `hint` what to do. */
export class ApiError extends Error {
  constructor(status, { kind = "Error", message = "", hint = "", code = undefined, values = {} } = {}) {
    const words = code === undefined ? { message, hint } : wordsOf({ kind, message, hint, code, values });
    super(words.message);
    Object.assign(this, { status, kind, hint: words.hint });
  }
}

/** By its code; what has none is quoted below words for its kind, where the reader's language is another one. */
function wordsOf({ kind, message, hint, code, values }) {
  const name = `refused.${code}`;
  if (known(name))
    return { message: String(t(name, values)), hint: known(`${name}.hint`) ? String(t(`${name}.hint`, values)) : "" };
  if (language === "en") return { message, hint };
  const about = known(`refused.kind.${kind}`) ? kind : "Error";
  const said = [message, hint].filter(Boolean).join(". ");
  return { message: String(t(`refused.kind.${about}`)), hint: String(t("refused.said", { said })) };
}

/** Some listen on other addresses with a token; it leaves the address bar and stays with this tab. */
function takeToken() {
  const here = new URL(location.href);
  const given = here.searchParams.get("token");
  if (given) {
    sessionStorage.setItem("token", given);
    here.searchParams.delete("token");
    history.replaceState(null, "", here);
  }
  return sessionStorage.getItem("token") ?? "";
}

/** Where a path of the API is: below the page, which a proxy may serve under a path of its own. */
const addressOf = (path) => new URL(`.${path}`, location.href);

/** An address of the server with a query; pictures and sockets carry the token there. */
export function url(path, query = {}) {
  const address = addressOf(path);
  for (const [key, value] of Object.entries(query))
    if (value !== null && value !== undefined) address.searchParams.set(key, value);
  if (TOKEN) address.searchParams.set("token", TOKEN);
  return address.href;
}

/**
 * @param {string} method
 * @param {string} path
 * @param {{json?: any, form?: FormData, query?: Record<string, any>, signal?: AbortSignal}} [more]
 */
async function call(method, path, { json, form, query, signal } = {}) {
  const headers = TOKEN ? { Authorization: `Bearer ${TOKEN}` } : {};
  if (json !== undefined) headers["Content-Type"] = "application/json";
  const address = addressOf(path);
  for (const [key, value] of Object.entries(query ?? {})) address.searchParams.set(key, value);
  let answer;
  try {
    answer = await fetch(address, {
      method,
      headers,
      body: json !== undefined ? JSON.stringify(json) : form,
      signal,
      cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw offline();
  }
  if (!answer.ok) throw await refusal(answer);
  return answer;
}

async function refusal(answer) {
  try {
    const { error } = await answer.json();
    return new ApiError(answer.status, error);
  } catch {
    return new ApiError(answer.status, {
      message: String(t("error.status", { status: answer.status })),
      hint: String(t("error.status.hint")),
    });
  }
}

const asJson = async (answer) => ((await answer).status === 204 ? null : (await answer).json());

export const get = (path, query) => asJson(call("GET", path, { query }));
export const post = (path, json = {}) => asJson(call("POST", path, { json }));
export const patch = (path, json) => asJson(call("PATCH", path, { json }));
export const put = (path, json) => asJson(call("PUT", path, { json }));
export const remove = (path) => asJson(call("DELETE", path));

/** POST files and values as a form. */
export function send(path, values) {
  const form = new FormData();
  for (const [key, value] of Object.entries(values)) {
    for (const one of Array.isArray(value) ? value : [value])
      if (one !== null && one !== undefined) append(form, key, one);
  }
  return asJson(call("POST", path, { form }));
}

/** The same, with news of how much has gone out: `onProgress` gets 0 … 1. */
export function upload(path, values, onProgress) {
  const request = new XMLHttpRequest(); // fetch does not say how far an upload is
  const form = new FormData();
  for (const [key, one] of Object.entries(values)) if (one !== null && one !== undefined) append(form, key, one);
  request.open("POST", addressOf(path));
  if (TOKEN) request.setRequestHeader("Authorization", `Bearer ${TOKEN}`);
  request.upload.onprogress = ({ loaded, total }) => onProgress(total ? loaded / total : 0);
  return new Promise((resolve, reject) => {
    request.onload = async () => {
      const answer = new Response(request.responseText, { status: request.status });
      if (answer.ok) resolve(await answer.json());
      else reject(await refusal(answer));
    };
    request.onerror = () => reject(offline());
    request.send(form);
  });
}

const offline = () =>
  new ApiError(0, { kind: "Offline", message: String(t("error.offline")), hint: String(t("error.offline.hint")) });

/** Bytes of an address, with the name the server proposes for the file. */
export async function download(path, query) {
  const answer = await call("GET", path, { query });
  const proposed = /filename\*?=(?:UTF-8'')?"?([^";]+)/i.exec(answer.headers.get("Content-Disposition") ?? "");
  return { blob: await answer.blob(), name: proposed ? decodeURIComponent(proposed[1]) : "" };
}

/** A picture of the server, decoded; null when it was overtaken by a newer request. */
export async function picture(path, query, signal) {
  const answer = await call("GET", path, { query, signal });
  return createImageBitmap(await answer.blob());
}

/** The address of a picture that is asked for with data; whoever shows it revokes it afterwards. */
export async function postForPicture(path, json, query) {
  return URL.createObjectURL(await (await call("POST", path, { json, query })).blob());
}

function append(form, key, one) {
  if (one instanceof File) form.append(key, one, one.name);
  else if (one instanceof Blob) form.append(key, one, "mask.png");
  else form.append(key, one);
}
