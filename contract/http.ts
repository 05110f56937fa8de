import type { Instance, ServiceSnapshot } from "./snapshot.ts";

/** Headers of every lookup's answer. */
export const HEADER_SOURCE = "Fingerpost-Source";
export const HEADER_REVISION = "Fingerpost-Revision";
export const HEADER_AGE_MS = "Fingerpost-Age-Ms";
export const HEADER_STALE = "Fingerpost-Stale";

/** Where an answer came from. */
export type Source = "memory" | "colo" | "redis" | "last-known-good";

/** `GET /v1/services/{service}` */
export type ServiceAnswer = Omit<ServiceSnapshot, "tombstoneUntil">;

/** `GET /v1/services/{service}/pick` */
export interface PickAnswer extends Omit<ServiceAnswer, "instances"> {
  readonly instance: Instance;
}

/** `GET /v1/services` */
export interface ServicesAnswer {
  readonly namespace: string;
  readonly epoch: number;
  readonly revision: number;
  /** Ordered by name. */
  readonly services: readonly { readonly name: string; readonly instances: number }[];
  /** Pass it as `cursor` for the next page; absent on the last one. */
  readonly next?: string;
}

/** `GET /v1/resolve?service=a&service=b`: each name asked for is in `services` or in `errors`. */
export interface ResolveAnswer {
  readonly namespace: string;
  readonly services: Readonly<Record<string, ServiceAnswer>>;
  readonly errors: Readonly<Record<string, { readonly code: string; readonly detail: string }>>;
}
