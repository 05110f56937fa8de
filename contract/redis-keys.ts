/** The namespace is in braces so that all its keys are in one hash slot on a cluster. */
export function headKey(namespace: string): string {
  return `fp:{${namespace}}:head`;
}

export function serviceKey(namespace: string, service: string): string {
  return `fp:{${namespace}}:s:${service}`;
}

export function catalogKey(namespace: string): string {
  return `fp:{${namespace}}:catalog`;
}

/** A key of the namespace that nothing is ever stored under. */
export function vacantKey(namespace: string): string {
  return `fp:{${namespace}}:vacant`;
}

/** The service whose snapshot is under this key; undefined for the namespace's other keys. */
export function serviceOfKey(namespace: string, key: string): string | undefined {
  const prefix = serviceKey(namespace, "");
  return key.startsWith(prefix) ? key.slice(prefix.length) : undefined;
}
