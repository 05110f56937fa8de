import * as v from "valibot";
import { instanceKey, type InstanceRef } from "../../contract/etcd-keys.ts";
import { isName, NAME_RULE } from "../../contract/names.ts";
import { parseRegistrationRequest, type RegistrationRequest } from "../../contract/registration.ts";
import { FingerpostError, type Violation } from "../../kernel/errors.ts";
import { hostLabel } from "../../node/host-label.ts";
import { livenessOf, type Liveness } from "../agent/held.ts";
import { refuseUnfit } from "../agent/unfit.ts";

/** More than this belongs to the services themselves, or to the API. */
const REGISTRATIONS_MAX = 1000;

/** An instance that the configuration file registers. */
export interface StaticRegistration {
  readonly ref: InstanceRef;
  readonly request: RegistrationRequest;
  /** A check, or none: it is up as long as the registrar lives. Nobody sends heartbeats for it. */
  readonly liveness: Liveness;
}

const schema = v.array(v.record(v.string(), v.unknown()));

/**
 * Reads `[[registrar.services]]`: the fields of a PUT's body, with `service` and, where it is not the default, `namespace`
 * beside them; `id` is the host's name and the port unless given. Adds a line to `problems` for each broken rule, with
 * the number and the name of the table, and gives what is right.
 */
export function parseStatic(tables: unknown, namespaceDefault: string, problems: string[]): StaticRegistration[] {
  const parsed = v.safeParse(schema, tables);
  if (!parsed.success) {
    problems.push("registrar.services in the file: must be tables, [[registrar.services]]");
    return [];
  }
  if (parsed.output.length > REGISTRATIONS_MAX) {
    problems.push(
      `registrar.services in the file: must be at most ${REGISTRATIONS_MAX} (they are ${parsed.output.length})`,
    );
    return [];
  }
  const found = new Map<string, StaticRegistration>();
  for (const [index, table] of parsed.output.entries()) {
    const place = placeOf(index, table);
    try {
      const registration = parseTable(table, namespaceDefault);
      const key = instanceKey(registration.ref);
      if (found.has(key))
        problems.push(`${place}: repeats the instance "${registration.ref.instance}" of an earlier one`);
      found.set(key, registration);
    } catch (error) {
      if (!(error instanceof FingerpostError)) throw error;
      for (const { pointer = "", detail } of error.violations) problems.push(`${place}${inToml(pointer)}: ${detail}`);
    }
  }
  return [...found.values()];
}

function parseTable(table: Readonly<Record<string, unknown>>, namespaceDefault: string): StaticRegistration {
  const { service, namespace = namespaceDefault, ttlSeconds, ...body } = table;
  const violations: Violation[] = [];
  for (const [pointer, value] of [
    ["/service", service],
    ["/namespace", namespace],
  ] as const) {
    if (value === undefined) violations.push({ pointer, detail: "is required" });
    else if (typeof value !== "string" || !isName(value)) violations.push({ pointer, detail: NAME_RULE });
  }
  if (ttlSeconds !== undefined) {
    violations.push({
      pointer: "/ttlSeconds",
      detail:
        "must be left out: nothing sends heartbeats for it; give it a check, or it is up while the registrar runs",
    });
  }
  const { check, status } = body;
  if (status !== undefined) {
    violations.push({
      pointer: "/status",
      detail: "must be left out: to deregister it, take its table out of the file",
    });
  }
  if (typeof check === "object" && check !== null && "deregisterAfterSeconds" in check) {
    violations.push({
      pointer: "/check/deregisterAfterSeconds",
      detail: "must be left out: what stands in the file stays registered, as down while its check fails",
    });
  }
  const request = attempt(() => parseRegistrationRequest(body), violations);
  if (request) {
    // One file can be given to many hosts.
    const instance = request.id ?? `${hostLabel("host")}-${request.port}`;
    const ref = { namespace: String(namespace), service: String(service), instance };
    const liveness: Liveness = request.check ? livenessOf(request) : { type: "none" };
    // Found out now, and not when etcd is there and each try after it would fail.
    attempt(() => refuseUnfit(instance, request, liveness), violations);
    if (violations.length === 0) return { ref, request, liveness };
  }
  throw new FingerpostError("invalid_argument", "The registration is not valid.", { violations });
}

function attempt<T>(parse: () => T, violations: Violation[]): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof FingerpostError)) throw error;
    violations.push(...error.violations);
    return undefined;
  }
}

function placeOf(index: number, { service, id }: Readonly<Record<string, unknown>>): string {
  const names = [service, id].filter((name) => typeof name === "string" && isName(name));
  return `registrar.services[${index}]${names.length > 0 ? ` (${names.join("/")})` : ""} in the file`;
}

function inToml(pointer: string): string {
  return pointer === "" ? "" : `, ${pointer.slice(1).replaceAll("/", ".").replaceAll("~1", "/").replaceAll("~0", "~")}`;
}
