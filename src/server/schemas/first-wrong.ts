/**
 * Lists and maps of a client's: how long they are comes before what is in them, and the first element that is wrong is
 * the last one looked at. Zod looks at all of them and keeps what it finds: a megabyte of wrong numbers held the event
 * loop for a second. In the OpenAPI document they are what they are for Zod.
 */
import { z } from "@hono/zod-openapi";

type Payload = z.core.ParsePayload;

/** Why a list is too long, where there is more to say than how long it may be. */
interface TooLong {
  /** The error's, in place of `invalid_request`. */
  readonly code: string;
  readonly message: string;
}

interface ListDef extends z.core.$ZodArrayDef {
  readonly most: number;
  /** What the element's schema accepts as it is, said fifty times as fast; what it denies, the schema refuses. */
  readonly isRight?: ((element: unknown) => boolean) | undefined;
  readonly tooLong?: ((length: number) => TooLong) | undefined;
}

const firstWrongArray = z.core.$constructor("FirstWrongArray", (inst: z.ZodArray, def: ListDef) => {
  z.ZodArray.init(inst, def);
  const { parse } = inst._zod;
  const { most, isRight, tooLong } = def;
  inst._zod.parse = (payload, context) => {
    const input: unknown = payload.value;
    if (Array.isArray(input) && input.length > most && tooLong !== undefined) {
      const { code, message } = tooLong(input.length);
      payload.issues.push({ code: "custom", input, inst, message, params: { code }, continue: false });
      return payload;
    }
    // Zod refuses anything but a list, and a list that is too long, without reading its elements.
    if (!Array.isArray(input) || input.length > most) return parse(payload, context);
    const output: unknown[] = [];
    for (let i = 0; i < input.length; i++) {
      if (isRight?.(input[i])) {
        output.push(input[i]);
        continue;
      }
      const { value, issues } = def.element._zod.run({ value: input[i], issues: [] }, context) as Payload;
      if (issues.length > 0) {
        payload.issues.push(...z.core.util.prefixIssues(i, issues));
        return payload;
      }
      output.push(value);
    }
    payload.value = output;
    return payload;
  };
});

interface ListLimits {
  readonly least?: number;
  readonly most?: number;
  readonly tooLong?: (length: number) => TooLong;
  readonly isRight?: (element: unknown) => boolean;
}

export function list<T extends z.ZodType>(
  element: T,
  { least = 0, most = Number.POSITIVE_INFINITY, tooLong, isRight }: ListLimits = {},
): z.ZodArray<T> {
  const any = new firstWrongArray({
    type: "array",
    element,
    most,
    tooLong,
    isRight,
  }) as unknown as z.ZodArray<T>;
  const limited = Number.isFinite(most) ? any.max(most) : any;
  return least > 0 ? limited.min(least) : limited;
}

const firstWrongRecord = z.core.$constructor(
  "FirstWrongRecord",
  (inst: z.ZodRecord, def: z.core.$ZodRecordDef & { readonly most: number; readonly tooMany: string }) => {
    z.ZodRecord.init(inst, def);
    const { parse } = inst._zod;
    inst._zod.parse = (payload, context) => {
      const input: unknown = payload.value;
      if (typeof input !== "object" || input === null || Array.isArray(input)) return parse(payload, context);
      let count = 0;
      for (const _ in input) {
        count += 1;
        if (count <= def.most) continue;
        payload.issues.push({ code: "custom", input, inst, message: def.tooMany, continue: false });
        return payload;
      }
      const output: [string, unknown][] = [];
      for (const [key, one] of Object.entries(input)) {
        const { value, issues } = def.valueType._zod.run({ value: one, issues: [] }, context) as Payload;
        if (issues.length > 0) {
          payload.issues.push(...z.core.util.prefixIssues(key, issues));
          return payload;
        }
        output.push([key, value]);
      }
      payload.value = Object.fromEntries(output);
      return payload;
    };
  },
);

/**
 * Token ids; which ones there are is the model's to say.
 * @param most what fits
 */
export function tokenIds(most: number): z.ZodArray<z.ZodInt> {
  return list(z.int().min(0), {
    most,
    isRight: (id) => Number.isSafeInteger(id) && (id as number) >= 0,
    tooLong: (length) => ({
      code: "context_length_exceeded",
      message: `These are ${length} tokens, and at most ${most} fit; shorten it.`,
    }),
  });
}

/** A map from texts, with at most `most` entries. @param tooMany says so */
export function record<T extends z.ZodType>(
  value: T,
  { most, tooMany }: { readonly most: number; readonly tooMany: string },
): z.ZodRecord<z.ZodString, T> {
  const def = { type: "record" as const, keyType: z.string(), valueType: value, most, tooMany };
  return new firstWrongRecord(def) as unknown as z.ZodRecord<z.ZodString, T>;
}
