export { createRegistrar } from "./library/embedded.ts";
export type { RegistrarOptions } from "./library/embedded.ts";
export { connectRegistrar } from "./library/over-http.ts";
export type { ConnectOptions } from "./library/over-http.ts";
export type { Registered, ServiceInstance, ServiceRegistrar } from "./library/service.ts";
export { FingerpostError } from "../kernel/errors.ts";
export type { ErrorCode, Violation } from "../kernel/errors.ts";
export type { LogLine } from "../node/log.ts";
