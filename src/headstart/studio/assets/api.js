// Talking to the studio: every refusal comes back as an Error with the studio's own words.
import { t } from "./talk.js";

export class Refusal extends Error {
  constructor(message, code, status) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

// What was asked may have been done: "gone" says only that no whole answer came.
const answered = async (promise) => {
  let found;
  let body = null;
  try {
    found = await promise;
    if ((found.headers.get("content-type") || "").includes("json")) body = await found.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(t("error.gone"), "gone", 0);
  }
  if (found.ok) return body;
  throw new Refusal(body?.error?.message || t("error.odd", { n: found.status }), body?.error?.code || "odd", found.status);
};

const q = (values) => {
  const found = Object.entries(values).filter(([, value]) => value !== undefined && value !== null);
  return found.length ? `?${new URLSearchParams(found)}` : "";
};
export const at = (...parts) => `/api/${parts.map(encodeURIComponent).join("/")}`;
export const get = (path, values = {}) => answered(fetch(path + q(values)));
export const post = (path, body = {}) => answered(fetch(path, {
  method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
}));
export const send = (path, values, blob, signal) => answered(fetch(path + q(values), {
  method: "POST", headers: { "content-type": "application/octet-stream" }, body: blob, signal,
}));
export const thumb = (project, label, name, v, side) => `/thumb${q({ project, label, name, side, v })}`;
export const page = (...parts) => `/${parts.map(encodeURIComponent).join("/")}`;
