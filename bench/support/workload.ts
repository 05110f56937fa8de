/** A registration as a service of some size makes it: about 400 bytes as JSON. */
export function registrationBody(index: number, change = 0): string {
  return JSON.stringify(registrationFields(index, change));
}

function registrationFields(index: number, change: number) {
  return {
    address: `10.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}`,
    port: 8080,
    protocol: "http",
    version: "2.14.3",
    region: "eu-central-1",
    zone: `eu-central-1${"abc"[index % 3]}`,
    tags: ["primary", "canary-no"],
    metadata: {
      commit: "5f1c9e2ab74d08836ce1",
      pod: `checkout-7d9f6b5c4-${index.toString(36).padStart(6, "0")}`,
      change: String(change),
    },
    // Longer than any run: no measurement is about heartbeats.
    ttlSeconds: 3600,
  };
}

/** The same as the registrar writes it to etcd. */
export function registrationValue(index: number, change = 0): string {
  const { ttlSeconds: _ttlSeconds, ...fields } = registrationFields(index, change);
  return JSON.stringify({
    id: instanceName(index),
    ...fields,
    weight: 100,
    status: "up",
    registeredAt: "2026-11-21T04:30:00.000Z",
  });
}

export function instanceName(index: number): string {
  return `i${index.toString().padStart(6, "0")}`;
}

/** Instances are dealt out to services in turn. */
export function serviceName(index: number, services: number): string {
  return `service-${(index % services).toString().padStart(5, "0")}`;
}

export function instancePath(index: number, services: number): string {
  return `/v1/services/${serviceName(index, services)}/instances/${instanceName(index)}`;
}
