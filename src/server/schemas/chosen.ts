/**
 * A field of several forms, of which what a client sent says which is meant: only that one is looked at, and what is wrong is
 * said of it. In the OpenAPI document it is any of them.
 */
import { z } from "@hono/zod-openapi";
import { quoteValue } from "../../quote-value.js";

interface ChosenDef extends z.core.$ZodUnionDef {
  readonly pick: (input: unknown) => number | string;
}

const chosenUnion = z.core.$constructor("Chosen", (inst: z.ZodUnion, def: ChosenDef) => {
  z.ZodUnion.init(inst, def);
  inst._zod.parse = (payload, context) => {
    const { value: input } = payload;
    const picked = def.pick(input);
    if (typeof picked === "number") return def.options[picked]._zod.run(payload, context) as typeof payload;
    payload.issues.push({ code: "custom", input, inst, message: picked, continue: false });
    return payload;
  };
});

/** @param pick which of `forms` is meant, or what is wrong when it is none */
export function chosen<const T extends readonly z.ZodType[]>(
  forms: T,
  pick: (input: unknown) => number | string,
): z.ZodUnion<T> {
  return new chosenUnion({
    type: "union",
    options: forms,
    inclusive: true,
    pick,
  }) as unknown as z.ZodUnion<T>;
}

/** A text, or a list. @param what both are, for errors: "input is a text, or a list of items" */
export function textOr<T extends z.ZodType>(list: T, what: string): z.ZodUnion<readonly [z.ZodString, T]> {
  return chosen([z.string(), list], (input) => {
    if (typeof input === "string") return 0;
    return Array.isArray(input) ? 1 : what;
  });
}

/** The `type` of an object that a client sent; undefined where it has none. */
export function typeOf(input: unknown): unknown {
  return typeof input === "object" && input !== null
    ? (input as { readonly type?: unknown }).type
    : undefined;
}

/** How a thing of a type that is not there is refused. */
export function unknownType(what: string, type: unknown, known: readonly string[]): string {
  const called =
    typeof type === "string" ? `${what} of the type ${quoteValue(type)}` : `${what} without a type`;
  return `${called} is not supported: this server has ${known.join(", ")}`;
}
