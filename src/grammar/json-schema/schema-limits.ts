/** What a schema may take: counted, not timed, so that a schema that compiles on one machine does on all. */
export interface SchemaLimits {
  /** Characters of the schema as JSON. */
  readonly maxLength: number;
  /** Objects and lists within each other. */
  readonly maxDepth: number;
  /** References and combinations (`allOf`, `anyOf`, `oneOf`) that lead to each other with no value between them. */
  readonly maxCombined: number;
  /** Ways to satisfy it that `anyOf`, `oneOf` and `type` of one place leave. */
  readonly maxAlternatives: number;
  readonly maxNodes: number;
  /** States of each automaton. */
  readonly maxStates: number;
  readonly maxPatternWork: number;
}

export const SCHEMA_LIMITS: SchemaLimits = {
  maxLength: 1_000_000,
  maxDepth: 64,
  maxCombined: 100,
  maxAlternatives: 500,
  maxNodes: 100_000,
  maxStates: 10_000,
  maxPatternWork: 400_000,
};
