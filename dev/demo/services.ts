/** An instance of a demo service: what it registers of itself, and how it behaves. */
export interface DemoInstance {
  readonly service: string;
  readonly id: string;
  readonly version: string;
  readonly zone: string;
  readonly tags: readonly string[];
  /** Takes itself out and comes back in turns, so that there is something to watch. */
  readonly comesAndGoes: boolean;
}

/** Short, so that an instance that was killed is seen to go while one looks. */
export const DEMO_TTL_SECONDS = 6;
export const PRESENT_MS = 20_000;
export const AWAY_MS = 10_000;

function instances(service: string, versions: readonly string[], tags: readonly string[]): DemoInstance[] {
  return versions.map((version, index) => ({
    service,
    id: `${service}-${index + 1}`,
    version,
    zone: index % 2 === 0 ? "zone-a" : "zone-b",
    tags,
    comesAndGoes: service === "batch" && index === versions.length - 1,
  }));
}

export const demoInstances: readonly DemoInstance[] = [
  ...instances("web", ["1.4.0", "1.4.0", "2.0.0"], ["public"]),
  ...instances("api", ["3.1.0", "3.1.0"], []),
  ...instances("batch", ["1.0.0", "1.0.0"], []),
];
