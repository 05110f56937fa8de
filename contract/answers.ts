import * as v from "valibot";
import { safeInteger, versionNumber } from "./document.ts";
import type { PickAnswer, ResolveAnswer, ServiceAnswer, ServicesAnswer } from "./http.ts";
import { ERROR_CODES, type Problem } from "./problem.ts";
import { instanceSchema, publishedEntries } from "./snapshot.ts";
import type { WatchStatus } from "./watch.ts";

/**
 * The bodies of the resolver's answers as schemas, checked against the types that callers read them by. The OpenAPI
 * document is made from them; what is stored is read by the same entries. A reader must pass over fields it does not know.
 */
const published = { namespace: v.string(), ...publishedEntries };

export const serviceAnswerSchema = v.object({
  ...published,
  instances: v.array(instanceSchema),
}) satisfies v.GenericSchema<ServiceAnswer>;

export const pickAnswerSchema = v.object({
  ...published,
  instance: instanceSchema,
}) satisfies v.GenericSchema<PickAnswer>;

export const servicesAnswerSchema = v.object({
  namespace: v.string(),
  epoch: versionNumber,
  revision: versionNumber,
  services: v.array(v.object({ name: v.string(), instances: safeInteger })),
  next: v.exactOptional(v.string()),
}) satisfies v.GenericSchema<ServicesAnswer>;

export const resolveAnswerSchema = v.object({
  namespace: v.string(),
  services: v.record(v.string(), serviceAnswerSchema),
  errors: v.record(v.string(), v.object({ code: v.picklist(ERROR_CODES), detail: v.string() })),
}) satisfies v.GenericSchema<ResolveAnswer>;

export const watchStatusSchema = v.object({
  stale: v.boolean(),
  ageMs: safeInteger,
}) satisfies v.GenericSchema<WatchStatus>;

export const problemSchema = v.object({
  type: v.string(),
  title: v.string(),
  status: safeInteger,
  code: v.picklist(ERROR_CODES),
  detail: v.string(),
  errors: v.exactOptional(
    v.array(
      v.object({
        pointer: v.exactOptional(v.string()),
        parameter: v.exactOptional(v.string()),
        detail: v.string(),
      }),
    ),
  ),
}) satisfies v.GenericSchema<Problem>;
