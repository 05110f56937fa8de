import { join } from "node:path";
import { bundleWorker, wranglerConfig } from "./bundle.ts";
import { claimPort, sayWhySlow, startPart, type Context } from "./context.ts";
import { untilDemoAtEdge } from "./demo/at-edge.ts";
import { demoInstances } from "./demo/services.ts";
import { startHttpPart } from "./http-part.ts";
import { generateSigningKey, parseSigningKey, publicKeyText } from "../registrar/signing/key.ts";
import type { Environment } from "./external.ts";
import { newPassword, sha256Hex } from "./password.ts";
import { provideEtcdStore, provideRestStore, type EtcdStore, type RestStore } from "./stores.ts";
import type { Part } from "./supervisor.ts";

const REGISTRAR_PORT = 7070;
const RESOLVER_PORT = 8787;

/** A process of ours that is called with a bearer token. */
interface Service {
  readonly url: string;
  readonly token: string;
  readonly part: Part;
}

/** The whole of it, in the order in which the data flows. */
export interface Line {
  readonly etcd: EtcdStore;
  readonly rest: RestStore;
  readonly registrar: Service;
  readonly resolver: Service;
  readonly demo: readonly Part[];
}

/** Starts every process and waits until each is ready. Rejects with the first failure, once none is still starting. */
export async function startLine(given: Context, { demo }: { readonly demo: boolean }): Promise<Line> {
  const failure = new AbortController();
  const context = { ...given, signal: AbortSignal.any([given.signal, failure.signal]) };
  // Whatever starts beside what failed is ended before this rejects, or nobody would know of it.
  const guarded = <T>(work: Promise<T>): Promise<T> =>
    work.catch(async (error: unknown) => {
      failure.abort(error);
      throw error;
    });

  const storing = [guarded(provideEtcdStore(context)), guarded(provideRestStore(context))] as const;
  const bundling = guarded(bundleWorker(context.runDir, context.signal));
  await settled([...storing, bundling], failure.signal);
  const [etcd, rest, bundle] = [await storing[0], await storing[1], await bundling];

  const signing = newSigning(rest);
  const starting = [
    guarded(startRegistrar(context, etcd, rest, signing)),
    guarded(startResolver(context, bundle, rest, signing)),
  ] as const;
  await settled(starting, failure.signal);
  const [registrar, resolver] = [await starting[0], await starting[1]];

  const instances = demo ? demoInstances.map(({ id }) => guarded(startInstance(context, id, registrar))) : [];
  await settled(instances, failure.signal);
  const { clock, signal } = context;
  if (demo) await untilDemoAtEdge({ resolver: resolver.url, token: resolver.token, clock, signal });
  return { etcd, rest, registrar, resolver, demo: await Promise.all(instances) };
}

async function settled(work: readonly Promise<unknown>[], failure: AbortSignal): Promise<void> {
  await Promise.allSettled(work);
  // The first error: those that follow from its abort tell nothing.
  failure.throwIfAborted();
}

/** The variables of a key of this run, and of what it signs. */
interface Signing {
  readonly registrar: Environment;
  readonly resolver: Environment;
}

/** Nothing is signed in a Redis that is not ours: others may publish there, or read. */
function newSigning(rest: RestStore): Signing {
  if (!rest.own) return { registrar: {}, resolver: {} };
  const key = generateSigningKey();
  const resolver = { FINGERPOST_PUBLIC_KEYS: publicKeyText(parseSigningKey(key)) };
  return { registrar: { FINGERPOST_SIGNING_KEY: key, ...resolver }, resolver };
}

async function startRegistrar(context: Context, etcd: EtcdStore, rest: RestStore, signing: Signing): Promise<Service> {
  const { runDir, clock, say } = context;
  const port = await claimPort(context, "the registrar", REGISTRAR_PORT);
  const url = `http://127.0.0.1:${port}`;
  const token = newPassword();
  const env = {
    ...etcd.environment,
    UPSTASH_REDIS_REST_URL: rest.url,
    UPSTASH_REDIS_REST_TOKEN: rest.token,
    FINGERPOST_LISTEN: `127.0.0.1:${port}`,
    FINGERPOST_TOKEN: token,
    FINGERPOST_STATE_DIR: join(runDir, "registrar"),
    ...signing.registrar,
  };
  const args = ["registrar"];
  const about = `It keeps trying, with etcd at ${etcd.url} and Redis at ${rest.url}.`;
  const onSlow = sayWhySlow(context, "the registrar", about);
  const part = await startPart(context, "registrar", (signal) =>
    startHttpPart({ name: "registrar", module: "../cli/main.ts", args, env, runDir, url, clock, signal, onSlow }),
  );
  say(`the registrar runs at ${url}, pid ${part.pid}`);
  return { url, token, part };
}

async function startResolver(context: Context, bundle: string, rest: RestStore, signing: Signing): Promise<Service> {
  const { runDir, clock, say } = context;
  const port = await claimPort(context, "the resolver", RESOLVER_PORT);
  const url = `http://127.0.0.1:${port}`;
  const token = newPassword();
  const env = {
    FINGERPOST_DEV_BUNDLE: bundle,
    FINGERPOST_DEV_WRANGLER_CONFIG: wranglerConfig,
    FINGERPOST_DEV_PORT: String(port),
    FINGERPOST_KEYS: `dev=${sha256Hex(token)}`,
    UPSTASH_REDIS_REST_URL: rest.url,
    UPSTASH_REDIS_REST_TOKEN: rest.readOnlyToken,
    ...signing.resolver,
  };
  const onSlow = sayWhySlow(context, "the resolver", `It keeps trying, with Redis at ${rest.url}.`);
  const part = await startPart(context, "resolver", (signal) =>
    startHttpPart({ name: "resolver", module: "./worker-host.ts", args: [], env, runDir, url, clock, signal, onSlow }),
  );
  say(`the resolver runs in workerd at ${url}, pid ${part.pid}`);
  return { url, token, part };
}

async function startInstance(context: Context, id: string, registrar: Service): Promise<Part> {
  const { runDir, clock, say } = context;
  const port = await context.ports.claimAny();
  const url = `http://127.0.0.1:${port}`;
  const env = {
    FINGERPOST_DEMO_ID: id,
    FINGERPOST_DEMO_PORT: String(port),
    FINGERPOST_REGISTRAR_URL: registrar.url,
    FINGERPOST_REGISTRAR_TOKEN: registrar.token,
  };
  const onSlow = sayWhySlow(context, `the demo instance ${id}`);
  const part = await startPart(context, id, (signal) =>
    startHttpPart({ name: id, module: "./demo/instance.ts", args: [], env, runDir, url, clock, signal, onSlow }),
  );
  say(`the demo instance ${id} runs at ${url}, pid ${part.pid}`);
  return part;
}
