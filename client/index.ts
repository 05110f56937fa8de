export { createClient } from "./client.ts";
export type { Client, Picked, PickFilters, ServiceRequestInit } from "./client.ts";
export { ResolveError } from "./errors.ts";
export type { ResolveErrorCode } from "./errors.ts";
export type { Resolved } from "./lookup.ts";
export type { ClientOptions, Fetch } from "./options.ts";
export type { Filters } from "./request.ts";
export type { Source } from "../contract/http.ts";
export type { Instance, InstanceStatus } from "../contract/snapshot.ts";
