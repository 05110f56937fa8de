import type { PickAnswer, ResolveAnswer, ServiceAnswer, ServicesAnswer } from "../contract/http.ts";
import type { Instance } from "../contract/snapshot.ts";

/** The examples of answers. A test has the resolver answer exactly these. */
const instances: readonly [Instance, Instance] = [
  {
    id: "web-1",
    address: "10.0.0.5",
    port: 8080,
    protocol: "http",
    version: "1.4.2",
    region: "eu-central",
    zone: "eu-central-1",
    weight: 100,
    tags: ["public"],
    metadata: { team: "edge" },
    status: "up",
    registeredAt: "2026-11-21T04:30:00.000Z",
  },
  {
    id: "web-2",
    address: "10.0.0.6",
    port: 8080,
    protocol: "http",
    url: "https://web-2.example.com",
    weight: 50,
    tags: [],
    metadata: {},
    status: "suspect",
    registeredAt: "2026-11-21T04:30:00.000Z",
  },
];

const published = {
  namespace: "default",
  service: "web",
  epoch: 1_767_225_600_000,
  revision: 48,
  etcdRevision: 48,
  publishedAt: "2026-11-21T04:30:00.125Z",
};

export const serviceExample: ServiceAnswer = { ...published, instances };

/** How a stream begins for a watcher who has all but whether that is out of date. */
export const eventsExample = `retry: 2500

event: status
data: {"stale":true,"ageMs":11000}

`;

export const pickExample: PickAnswer = { ...published, instance: instances[0] };

export const servicesExample: ServicesAnswer = {
  namespace: "default",
  epoch: published.epoch,
  revision: published.revision,
  services: [
    { name: "api", instances: 0 },
    { name: "web", instances: 2 },
  ],
};

export const resolveExample: ResolveAnswer = {
  namespace: "default",
  services: { web: serviceExample },
  errors: { nope: { code: "not_found", detail: 'There is no service "nope".' } },
};
