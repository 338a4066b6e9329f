/**
 * From a template's source to its syntax tree. The lexer and the parser are Hugging Face's; this hands them what they do
 * not read in a form that they do (`raw` blocks, tests with arguments), and gives the tree types.
 */
import { parse, tokenize } from "@huggingface/jinja";

export type Statement =
  | { readonly type: "If"; readonly test: Expression; readonly body: Body; readonly alternate: Body }
  | {
      readonly type: "For";
      readonly loopvar: Expression;
      readonly iterable: Expression;
      readonly body: Body;
      readonly defaultBlock: Body;
    }
  | {
      readonly type: "Set";
      readonly assignee: Expression;
      readonly value: Expression | null;
      readonly body: Body;
    }
  | { readonly type: "Macro"; readonly name: Name; readonly args: readonly Expression[]; readonly body: Body }
  | {
      readonly type: "CallStatement";
      readonly call: Call;
      readonly callerArgs: readonly Expression[] | null;
      readonly body: Body;
    }
  | { readonly type: "FilterStatement"; readonly filter: Name | Call; readonly body: Body }
  | { readonly type: "Break" | "Continue" | "Comment" };

export interface Name {
  readonly type: "Identifier";
  readonly value: string;
}

export interface Call {
  readonly type: "CallExpression";
  readonly callee: Expression;
  readonly args: readonly Expression[];
}

export type Expression =
  | Name
  | Call
  | { readonly type: "StringLiteral"; readonly value: string }
  | { readonly type: "IntegerLiteral" | "FloatLiteral"; readonly value: number }
  | { readonly type: "ArrayLiteral" | "TupleLiteral"; readonly value: readonly Expression[] }
  | { readonly type: "ObjectLiteral"; readonly value: ReadonlyMap<Expression, Expression> }
  | {
      readonly type: "MemberExpression";
      readonly object: Expression;
      readonly property: Expression;
      readonly computed: boolean;
    }
  | {
      readonly type: "SliceExpression";
      readonly start?: Expression;
      readonly stop?: Expression;
      readonly step?: Expression;
    }
  | {
      readonly type: "BinaryExpression";
      readonly operator: { readonly value: string };
      readonly left: Expression;
      readonly right: Expression;
    }
  | {
      readonly type: "UnaryExpression";
      readonly operator: { readonly value: string };
      readonly argument: Expression;
    }
  | { readonly type: "FilterExpression"; readonly operand: Expression; readonly filter: Name | Call }
  | {
      readonly type: "TestExpression";
      readonly operand: Expression;
      readonly negate: boolean;
      readonly test: Name;
    }
  | { readonly type: "SelectExpression"; readonly lhs: Expression; readonly test: Expression }
  | {
      readonly type: "Ternary";
      readonly condition: Expression;
      readonly trueExpr: Expression;
      readonly falseExpr: Expression;
    }
  | { readonly type: "KeywordArgumentExpression"; readonly key: Name; readonly value: Expression }
  | { readonly type: "SpreadExpression" | "KeywordSpreadExpression"; readonly argument: Expression };

export type Body = readonly (Statement | Expression)[];

/** A parsed template. */
export interface Program {
  readonly body: Body;
  /** Every text that the template writes out, in its code and between it. */
  readonly literals: ReadonlySet<string>;
}

/** Longer runs of white space stand in no template, and the lexer's patterns take their square in time. */
const LONGEST_WHITE_SPACE = 4096;

/** How a test with arguments is called where it is applied as a filter; no name of a template's has a space. */
export const TEST_PREFIX = "is ";
export const NEGATED_TEST_PREFIX = "is not ";

interface Token {
  readonly type: string;
  readonly value: string;
}

/** @throws Error saying what is wrong */
export function parseTemplate(source: string): Program {
  if (new RegExp(`\\s{${LONGEST_WHITE_SPACE}}`).test(source)) {
    throw new Error(`it has a run of more than ${LONGEST_WHITE_SPACE} white spaces`);
  }
  const tokens: readonly Token[] = tokenize(withoutRaw(source.replace(/\r\n?/g, "\n")), {
    trim_blocks: true,
    lstrip_blocks: true,
  });
  const literals = new Set(
    tokens.filter(({ type }) => type === "StringLiteral" || type === "Text").map(({ value }) => value),
  );
  const { body } = parse(testsAsFilters(tokens) as Parameters<typeof parse>[0]) as unknown as { body: Body };
  return { body, literals };
}

/** `{% raw %}…{% endraw %}` as the text that it stands for. */
function withoutRaw(source: string): string {
  return source.replace(
    /(^[ \t]*)?\{%(-?)\s*raw\s*(-?)%\}(\n?)([\s\S]*?)(?:(\n)[ \t]*)?\{%(-?)\s*endraw\s*(-?)%\}\n?/gm,
    (_, _indent, before, open, _newline, text: string, lineEnd = "", close, after) => {
      let kept = text + lineEnd;
      if (open === "-") kept = kept.trimStart();
      if (close === "-") kept = kept.trimEnd();
      return `{{${before} ${JSON.stringify(kept)} ${after}}}`;
    },
  );
}

/** Words that follow a test and are no argument of it. */
const AFTER_TESTS: ReadonlySet<string> = new Set(["else", "or", "and", "is", "if", "in", "not"]);
const ARGUMENT_STARTS: ReadonlySet<string> = new Set([
  "StringLiteral",
  "NumericLiteral",
  "OpenSquareBracket",
  "OpenCurlyBracket",
]);

/** `x is divisibleby(3)` and `x is in [1, 2]` as the filters `is divisibleby` and `is in`. */
function testsAsFilters(tokens: readonly Token[]): Token[] {
  const token = (type: string, value: string): Token => ({ type, value });
  const isWord = (at: number, word: string) => tokens[at]?.type === "Identifier" && tokens[at].value === word;
  const rewritten: Token[] = [];
  for (let i = 0; i < tokens.length; i++) {
    const isNegated = isWord(i, "is") && isWord(i + 1, "not");
    const at = i + (isNegated ? 2 : 1);
    const name = isWord(i, "is") ? tokens[at] : undefined;
    const next = tokens[at + 1];
    // What follows a dot is no word of the language.
    if (name === undefined || next === undefined || tokens[i - 1]?.type === "Dot") {
      rewritten.push(tokens[i]);
      continue;
    }
    const isCalled = next.type === "OpenParen";
    const hasArgument =
      ARGUMENT_STARTS.has(next.type) || (next.type === "Identifier" && !AFTER_TESTS.has(next.value));
    if (!isCalled && !hasArgument) {
      rewritten.push(tokens[i]);
      continue;
    }
    const prefix = isNegated ? NEGATED_TEST_PREFIX : TEST_PREFIX;
    rewritten.push(token("Pipe", "|"), token("Identifier", prefix + name.value));
    i = at;
    if (isCalled) continue;
    const end = primaryEnd(tokens, at + 1);
    rewritten.push(
      token("OpenParen", "("),
      ...testsAsFilters(tokens.slice(at + 1, end)),
      token("CloseParen", ")"),
    );
    i = end - 1;
  }
  return rewritten;
}

/** Where the value that begins at a token ends: what is in its brackets, and what is taken of it, belong to it. */
function primaryEnd(tokens: readonly Token[], from: number): number {
  let depth = 0;
  for (let i = from; i < tokens.length; i++) {
    const { type } = tokens[i];
    if (type.startsWith("Open")) depth++;
    if (type.startsWith("Close")) depth--;
    if (depth > 0) continue;
    const next = tokens[i + 1]?.type;
    if (next === "Dot") i++;
    else if (next !== "OpenSquareBracket" && next !== "OpenParen") return i + 1;
  }
  return tokens.length;
}
