/** Where the resolver says what an operator should know: one structured line each, without secrets. */
export interface ResolverLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
