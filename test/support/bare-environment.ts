/** Of this process' own variables only what a program is found by, and what it starts quickly by. */
export function bareEnvironment(): Readonly<Record<string, string>> {
  const kept = ["PATH", "NODE_COMPILE_CACHE"].map((name) => [name, process.env[name]]);
  return Object.fromEntries(kept.filter(([, value]) => value !== undefined)) as Record<string, string>;
}
