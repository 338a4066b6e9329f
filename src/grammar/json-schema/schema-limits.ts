/** What a schema may take: counted, not timed, so that a schema that compiles on one machine does on all. */
export interface SchemaLimits {
  /** Characters of a schema as JSON, and of all tools of an answer: threads that they are handed to are not held by it. */
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

/** Most characters of a pattern, and of a grammar in GBNF. */
export const MAX_PATTERN_LENGTH = 8192;
export const MAX_GRAMMAR_LENGTH = 100_000;

export const SCHEMA_LIMITS: SchemaLimits = {
  maxLength: 262_144,
  maxDepth: 64,
  maxCombined: 100,
  maxAlternatives: 500,
  maxNodes: 100_000,
  maxStates: 10_000,
  maxPatternWork: 400_000,
};
