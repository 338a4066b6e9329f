/** Kinds of layers, those that see equally far, and which blocks are theirs. */
import type { LanguageModel } from "lastrow";

export type KvKind = LanguageModel["info"]["kv"]["kinds"][number];

/** The kind that a group of layers is of: groups are numbered kind after kind. */
export function kindOf(kinds: readonly KvKind[], group: number): number {
  let end = 0;
  return kinds.findIndex(({ groups }) => {
    end += groups;
    return group < end;
  });
}
