// How the items of an operation are shared out among its chunks.

/**
 * First of `count` items that belong to chunk `i` of `chunks`. Chunk i is i + 1 times as large as chunk 0, and the last one
 * is taken first: what is left in the end is little, so that none waits long for a thread whose core is slower. Where
 * there are no more items than chunks each is one of its own.
 */
@inline
export function share(count: i32, i: i32, chunks: i32): i32 {
  if (count == chunks) return i;
  return <i32>((<i64>count * <i64>i * <i64>(i + 1)) / (<i64>chunks * <i64>(chunks + 1)));
}
