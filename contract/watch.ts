/** Names of the events of `GET /v1/services/{service}/watch`. A client passes over the ones that it does not know. */
export const WATCH_EVENTS = {
  /** `data` is a ServiceAnswer, `id` its revision. */
  service: "service",
  /** There is no such service, or no longer; `data` is the problem (RFC 9457) that a lookup would be answered with. */
  unknown: "unknown",
  /** `data` is a WatchStatus. Without one, what is sent is not stale. */
  status: "status",
} as const;

/** Sent when it changes whether what the watcher has may be out of date. */
export interface WatchStatus {
  readonly stale: boolean;
  /** As in Fingerpost-Age-Ms. */
  readonly ageMs: number;
}
