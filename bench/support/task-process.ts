/** What a task can be asked: each method takes one plain value and gives one. */
// oxlint-disable-next-line typescript/no-explicit-any -- the inputs differ from method to method
export type TaskMethods = Readonly<Record<string, (input: any) => Promise<unknown>>>;

export interface TaskRequest {
  readonly call: number;
  readonly name: string;
  readonly input: unknown;
}

export type TaskAnswer =
  | { readonly call: number; readonly output: unknown }
  | { readonly call: number; readonly error: string };

/** The other side of `startTask`: answers calls until the process that started this one lets go. */
export function serveTask(methods: TaskMethods): void {
  process.on("message", async (message: unknown) => {
    const { call, name, input } = message as TaskRequest;
    const answer = await run(methods, name, input).then(
      (output): TaskAnswer => ({ call, output }),
      (error: unknown): TaskAnswer => ({
        call,
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      }),
    );
    if (process.connected) process.send?.(answer);
  });
  process.on("disconnect", () => process.exit(0));
}

async function run(methods: TaskMethods, name: string, input: unknown): Promise<unknown> {
  const method = methods[name];
  if (!method) throw new Error(`there is no ${name} here`);
  return await method(input);
}
