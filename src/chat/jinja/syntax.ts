/** The syntax tree of a template. Plain data. */
import type { Value } from "./values.js";

/** A parsed template. */
export interface Program {
  readonly body: Body;
  /** Every text that the template writes out, in its code and between it. */
  readonly literals: ReadonlySet<string>;
}

export type Body = readonly Statement[];

export type Statement =
  | { readonly type: "data"; readonly text: string }
  | { readonly type: "print"; readonly value: Expression }
  | {
      readonly type: "if";
      readonly branches: readonly { readonly test: Expression; readonly body: Body }[];
      readonly otherwise: Body;
    }
  | {
      readonly type: "for";
      readonly target: Target;
      readonly over: Expression;
      readonly test: Expression | null;
      readonly body: Body;
      readonly otherwise: Body;
    }
  | { readonly type: "set"; readonly target: Target; readonly value: Expression }
  /** What its body prints, through a filter if there is one, is the value. */
  | {
      readonly type: "set-block";
      readonly target: Target;
      readonly filter: Filter | null;
      readonly body: Body;
    }
  | {
      readonly type: "macro";
      readonly name: string;
      readonly parameters: readonly Parameter[];
      readonly body: Body;
    }
  | {
      readonly type: "call";
      readonly call: Call;
      /** Of the body, which is the macro `caller`. */
      readonly parameters: readonly Parameter[];
      readonly body: Body;
    }
  | { readonly type: "filter"; readonly filter: Filter; readonly body: Body }
  /** `with`, and what transformers calls `generation`: variables of its own. */
  | {
      readonly type: "scope";
      readonly variables: readonly (readonly [Target, Expression])[];
      readonly body: Body;
    }
  | { readonly type: "break" | "continue" };

export interface Parameter {
  readonly name: string;
  readonly byDefault: Expression | null;
}

export type Target =
  | { readonly type: "name"; readonly name: string }
  | { readonly type: "attribute"; readonly object: Expression; readonly name: string }
  | { readonly type: "tuple"; readonly items: readonly Target[] };

export interface Arguments {
  readonly positional: readonly Expression[];
  readonly named: readonly (readonly [string, Expression])[];
  /** `*list` and `**dict`. */
  readonly spread: Expression | null;
  readonly namedSpread: Expression | null;
}

interface Call {
  readonly type: "call";
  readonly callee: Expression;
  readonly args: Arguments;
}

export interface Filter {
  readonly type: "filter";
  /** Null: what the body prints. */
  readonly operand: Expression | null;
  readonly name: string;
  readonly args: Arguments;
}

export type Expression =
  | Call
  | Filter
  | { readonly type: "constant"; readonly value: Value }
  | { readonly type: "name"; readonly name: string }
  | { readonly type: "list" | "tuple"; readonly items: readonly Expression[] }
  | { readonly type: "dict"; readonly pairs: readonly (readonly [Expression, Expression])[] }
  | { readonly type: "attribute"; readonly object: Expression; readonly name: string }
  | { readonly type: "item"; readonly object: Expression; readonly key: Expression }
  | { readonly type: "slice"; readonly object: Expression; readonly bounds: readonly (Expression | null)[] }
  | { readonly type: "test"; readonly operand: Expression; readonly name: string; readonly args: Arguments }
  | { readonly type: "not" | "negative" | "positive"; readonly operand: Expression }
  | { readonly type: "and" | "or"; readonly left: Expression; readonly right: Expression }
  | {
      readonly type: "binary";
      readonly operator: string;
      readonly left: Expression;
      readonly right: Expression;
    }
  /** `a < b < c` is true where each holds. */
  | {
      readonly type: "compare";
      readonly first: Expression;
      readonly rest: readonly { readonly operator: string; readonly right: Expression }[];
    }
  | { readonly type: "concat"; readonly parts: readonly Expression[] }
  | {
      readonly type: "condition";
      readonly test: Expression;
      readonly then: Expression;
      readonly otherwise: Expression | null;
    };
