// What a machine can do at most, for measuring against: how fast threads stream memory into vector registers, and how
// fast vector multiply-adds run that touch no memory at all. A module of its own (limits-team.ts), apart from the kernels.

// One cache line each.
/** Where results go, so that no compiler may leave the work out; they are not read. */
const results = memory.data(64, 64);
/** What wide values begin with, 32 bytes each, and where they go. */
const wide = memory.data(416, 64);
/** What is multiplied with, and added: zeros, which are digits, too. */
const operands = memory.data(64, 64);

@inline
function keep(value: v128): void {
  v128.store(results, value);
}

@inline
function keepAll(
  a: v128, b: v128, c: v128, d: v128, e: v128, f: v128, g: v128, h: v128, i: v128, j: v128, k: v128, l: v128, m: v128,
): void {
  const first = v128.or(v128.or(v128.or(a, b), v128.or(c, d)), v128.or(v128.or(e, f), v128.or(g, h)));
  keep(v128.or(first, v128.or(v128.or(v128.or(i, j), v128.or(k, l)), m)));
}

/** A cache line. */
@inline
function line(p: usize): v128 {
  return v128.or(v128.or(v128.load(p), v128.load(p, 16)), v128.or(v128.load(p, 32), v128.load(p, 48)));
}

/**
 * Reads chunks `from … to − 1` of a buffer of `bufferChunks`, which is read again and again when there are more.
 * @param four streams side by side instead of sixteen: what is faster depends on the processor, and on what else uses its memory
 */
export function read(buffer: usize, chunkBytes: usize, bufferChunks: i32, four: i32, from: i32, to: i32): void {
  for (let chunk = from; chunk < to; chunk++) {
    const start = buffer + <usize>(chunk % bufferChunks) * chunkBytes;
    if (four != 0) readFour(start, chunkBytes);
    else readStreams(start, chunkBytes);
  }
}

/** Reads `bytes`, a multiple of 256, as four streams side by side. */
function readFour(start: usize, bytes: usize): void {
  const stream = bytes >> 2;
  let a = i32x4.splat(0), b = a, c = a, d = a;
  for (let p = start, end = start + stream; p < end; p += 64) {
    a = v128.or(a, line(p));
    b = v128.or(b, line(p + stream));
    c = v128.or(c, line(p + 2 * stream));
    d = v128.or(d, line(p + 3 * stream));
  }
  keep(v128.or(v128.or(a, b), v128.or(c, d)));
}

/**
 * Reads `bytes`, a multiple of 1024, from `start` on, as sixteen streams side by side: a processor fetches each stream
 * ahead for itself, and so has more of them under way than it would of one.
 */
function readStreams(start: usize, bytes: usize): void {
  const stream = bytes >> 4;
  let a = i32x4.splat(0), b = a, c = a, d = a;
  for (let p = start, end = start + stream; p < end; p += 64) {
    a = v128.or(a, line(p));
    b = v128.or(b, line(p + stream));
    c = v128.or(c, line(p + 2 * stream));
    d = v128.or(d, line(p + 3 * stream));
    a = v128.or(a, line(p + 4 * stream));
    b = v128.or(b, line(p + 5 * stream));
    c = v128.or(c, line(p + 6 * stream));
    d = v128.or(d, line(p + 7 * stream));
    a = v128.or(a, line(p + 8 * stream));
    b = v128.or(b, line(p + 9 * stream));
    c = v128.or(c, line(p + 10 * stream));
    d = v128.or(d, line(p + 11 * stream));
    a = v128.or(a, line(p + 12 * stream));
    b = v128.or(b, line(p + 13 * stream));
    c = v128.or(c, line(p + 14 * stream));
    d = v128.or(d, line(p + 15 * stream));
  }
  keep(v128.or(v128.or(a, b), v128.or(c, d)));
}

/**
 * Thirteen values, each multiplied and added to in turn (two operations that round separately, as in the kernels): enough
 * of them to hide the latency, and with both operands they fill the fifteen registers that V8 has for vectors. Operands
 * come from memory, once, because V8 makes a constant anew wherever it is used. 52 multiply-adds a round; a chunk is `rounds`.
 */
export function multiplyAddF32(rounds: i32, from: i32, to: i32): void {
  const factor = v128.load(operands), addend = v128.load(operands, 16);
  let a = f32x4.splat(1), b = f32x4.splat(2), c = f32x4.splat(3), d = f32x4.splat(4), e = f32x4.splat(5);
  let f = f32x4.splat(6), g = f32x4.splat(7), h = f32x4.splat(8), i = f32x4.splat(9), j = f32x4.splat(10);
  let k = f32x4.splat(11), l = f32x4.splat(12), m = f32x4.splat(13);
  for (let round = 0, all = (to - from) * rounds; round < all; round++) {
    a = f32x4.add(f32x4.mul(a, factor), addend);
    b = f32x4.add(f32x4.mul(b, factor), addend);
    c = f32x4.add(f32x4.mul(c, factor), addend);
    d = f32x4.add(f32x4.mul(d, factor), addend);
    e = f32x4.add(f32x4.mul(e, factor), addend);
    f = f32x4.add(f32x4.mul(f, factor), addend);
    g = f32x4.add(f32x4.mul(g, factor), addend);
    h = f32x4.add(f32x4.mul(h, factor), addend);
    i = f32x4.add(f32x4.mul(i, factor), addend);
    j = f32x4.add(f32x4.mul(j, factor), addend);
    k = f32x4.add(f32x4.mul(k, factor), addend);
    l = f32x4.add(f32x4.mul(l, factor), addend);
    m = f32x4.add(f32x4.mul(m, factor), addend);
  }
  keepAll(a, b, c, d, e, f, g, h, i, j, k, l, m);
}

/**
 * What int8 kernels do with a sum: products of 16-bit integers, two to a lane; or, in the module that has relaxed dot products, of bytes,
 * four to a lane, of which two such make two useful ones, since an activation is two digits (relaxed/tiles-int8.ts).
 */
@inline
function dot(acc: v128, factor: v128, addend: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD
    ? i32x4.relaxed_dot_i8x16_i7x16_add_s(factor, addend, acc)
    : i32x4.add(i32x4.dot_i16x8_s(acc, factor), addend);
}

/** The same with what the int8 kernels do. 104 multiply-adds a round. */
export function multiplyAddInt8(rounds: i32, from: i32, to: i32): void {
  const factor = v128.load(operands), addend = v128.load(operands, 16);
  let a = i32x4.splat(1), b = i32x4.splat(2), c = i32x4.splat(3), d = i32x4.splat(4), e = i32x4.splat(5);
  let f = i32x4.splat(6), g = i32x4.splat(7), h = i32x4.splat(8), i = i32x4.splat(9), j = i32x4.splat(10);
  let k = i32x4.splat(11), l = i32x4.splat(12), m = i32x4.splat(13);
  for (let round = 0, all = (to - from) * rounds; round < all; round++) {
    a = dot(a, factor, addend);
    b = dot(b, factor, addend);
    c = dot(c, factor, addend);
    d = dot(d, factor, addend);
    e = dot(e, factor, addend);
    f = dot(f, factor, addend);
    g = dot(g, factor, addend);
    h = dot(h, factor, addend);
    i = dot(i, factor, addend);
    j = dot(j, factor, addend);
    k = dot(k, factor, addend);
    l = dot(l, factor, addend);
    m = dot(m, factor, addend);
  }
  keepAll(a, b, c, d, e, f, g, h, i, j, k, l, m);
}

/**
 * The same with pairs of vectors that lie side by side, of which V8 makes one of 256 bits where it is told to; a function of
 * its own, exported, because V8 decides by functions. 104 multiply-adds a round.
 */
export function multiplyAddF32Wide(rounds: i32, from: i32, to: i32): void {
  const factor = v128.load_splat<i32>(operands), addend = v128.load_splat<i32>(operands, 16);
  // No constant: V8 sees two addresses side by side only where they are one value and two offsets.
  const place = wide + <usize>(rounds < 0);
  let a0 = v128.load(place), a1 = v128.load(place, 16),
    b0 = v128.load(place, 32), b1 = v128.load(place, 48),
    c0 = v128.load(place, 64), c1 = v128.load(place, 80),
    d0 = v128.load(place, 96), d1 = v128.load(place, 112),
    e0 = v128.load(place, 128), e1 = v128.load(place, 144),
    f0 = v128.load(place, 160), f1 = v128.load(place, 176),
    g0 = v128.load(place, 192), g1 = v128.load(place, 208),
    h0 = v128.load(place, 224), h1 = v128.load(place, 240),
    i0 = v128.load(place, 256), i1 = v128.load(place, 272),
    j0 = v128.load(place, 288), j1 = v128.load(place, 304),
    k0 = v128.load(place, 320), k1 = v128.load(place, 336),
    l0 = v128.load(place, 352), l1 = v128.load(place, 368),
    m0 = v128.load(place, 384), m1 = v128.load(place, 400);
  for (let round = 0, all = (to - from) * rounds; round < all; round++) {
    a0 = f32x4.add(f32x4.mul(a0, factor), addend);
    a1 = f32x4.add(f32x4.mul(a1, factor), addend);
    b0 = f32x4.add(f32x4.mul(b0, factor), addend);
    b1 = f32x4.add(f32x4.mul(b1, factor), addend);
    c0 = f32x4.add(f32x4.mul(c0, factor), addend);
    c1 = f32x4.add(f32x4.mul(c1, factor), addend);
    d0 = f32x4.add(f32x4.mul(d0, factor), addend);
    d1 = f32x4.add(f32x4.mul(d1, factor), addend);
    e0 = f32x4.add(f32x4.mul(e0, factor), addend);
    e1 = f32x4.add(f32x4.mul(e1, factor), addend);
    f0 = f32x4.add(f32x4.mul(f0, factor), addend);
    f1 = f32x4.add(f32x4.mul(f1, factor), addend);
    g0 = f32x4.add(f32x4.mul(g0, factor), addend);
    g1 = f32x4.add(f32x4.mul(g1, factor), addend);
    h0 = f32x4.add(f32x4.mul(h0, factor), addend);
    h1 = f32x4.add(f32x4.mul(h1, factor), addend);
    i0 = f32x4.add(f32x4.mul(i0, factor), addend);
    i1 = f32x4.add(f32x4.mul(i1, factor), addend);
    j0 = f32x4.add(f32x4.mul(j0, factor), addend);
    j1 = f32x4.add(f32x4.mul(j1, factor), addend);
    k0 = f32x4.add(f32x4.mul(k0, factor), addend);
    k1 = f32x4.add(f32x4.mul(k1, factor), addend);
    l0 = f32x4.add(f32x4.mul(l0, factor), addend);
    l1 = f32x4.add(f32x4.mul(l1, factor), addend);
    m0 = f32x4.add(f32x4.mul(m0, factor), addend);
    m1 = f32x4.add(f32x4.mul(m1, factor), addend);
  }
  v128.store(place, a0, 0);
  v128.store(place, a1, 16);
  v128.store(place, b0, 32);
  v128.store(place, b1, 48);
  v128.store(place, c0, 64);
  v128.store(place, c1, 80);
  v128.store(place, d0, 96);
  v128.store(place, d1, 112);
  v128.store(place, e0, 128);
  v128.store(place, e1, 144);
  v128.store(place, f0, 160);
  v128.store(place, f1, 176);
  v128.store(place, g0, 192);
  v128.store(place, g1, 208);
  v128.store(place, h0, 224);
  v128.store(place, h1, 240);
  v128.store(place, i0, 256);
  v128.store(place, i1, 272);
  v128.store(place, j0, 288);
  v128.store(place, j1, 304);
  v128.store(place, k0, 320);
  v128.store(place, k1, 336);
  v128.store(place, l0, 352);
  v128.store(place, l1, 368);
  v128.store(place, m0, 384);
  v128.store(place, m1, 400);
}

/** As `multiplyAddInt8`, likewise: 208 multiply-adds a round. */
export function multiplyAddInt8Wide(rounds: i32, from: i32, to: i32): void {
  const factor = v128.load_splat<i32>(operands), addend = v128.load_splat<i32>(operands, 16);
  // No constant: V8 sees two addresses side by side only where they are one value and two offsets.
  const place = wide + <usize>(rounds < 0);
  let a0 = v128.load(place), a1 = v128.load(place, 16),
    b0 = v128.load(place, 32), b1 = v128.load(place, 48),
    c0 = v128.load(place, 64), c1 = v128.load(place, 80),
    d0 = v128.load(place, 96), d1 = v128.load(place, 112),
    e0 = v128.load(place, 128), e1 = v128.load(place, 144),
    f0 = v128.load(place, 160), f1 = v128.load(place, 176),
    g0 = v128.load(place, 192), g1 = v128.load(place, 208),
    h0 = v128.load(place, 224), h1 = v128.load(place, 240),
    i0 = v128.load(place, 256), i1 = v128.load(place, 272),
    j0 = v128.load(place, 288), j1 = v128.load(place, 304),
    k0 = v128.load(place, 320), k1 = v128.load(place, 336),
    l0 = v128.load(place, 352), l1 = v128.load(place, 368),
    m0 = v128.load(place, 384), m1 = v128.load(place, 400);
  for (let round = 0, all = (to - from) * rounds; round < all; round++) {
    a0 = dot(a0, factor, addend);
    a1 = dot(a1, factor, addend);
    b0 = dot(b0, factor, addend);
    b1 = dot(b1, factor, addend);
    c0 = dot(c0, factor, addend);
    c1 = dot(c1, factor, addend);
    d0 = dot(d0, factor, addend);
    d1 = dot(d1, factor, addend);
    e0 = dot(e0, factor, addend);
    e1 = dot(e1, factor, addend);
    f0 = dot(f0, factor, addend);
    f1 = dot(f1, factor, addend);
    g0 = dot(g0, factor, addend);
    g1 = dot(g1, factor, addend);
    h0 = dot(h0, factor, addend);
    h1 = dot(h1, factor, addend);
    i0 = dot(i0, factor, addend);
    i1 = dot(i1, factor, addend);
    j0 = dot(j0, factor, addend);
    j1 = dot(j1, factor, addend);
    k0 = dot(k0, factor, addend);
    k1 = dot(k1, factor, addend);
    l0 = dot(l0, factor, addend);
    l1 = dot(l1, factor, addend);
    m0 = dot(m0, factor, addend);
    m1 = dot(m1, factor, addend);
  }
  v128.store(place, a0, 0);
  v128.store(place, a1, 16);
  v128.store(place, b0, 32);
  v128.store(place, b1, 48);
  v128.store(place, c0, 64);
  v128.store(place, c1, 80);
  v128.store(place, d0, 96);
  v128.store(place, d1, 112);
  v128.store(place, e0, 128);
  v128.store(place, e1, 144);
  v128.store(place, f0, 160);
  v128.store(place, f1, 176);
  v128.store(place, g0, 192);
  v128.store(place, g1, 208);
  v128.store(place, h0, 224);
  v128.store(place, h1, 240);
  v128.store(place, i0, 256);
  v128.store(place, i1, 272);
  v128.store(place, j0, 288);
  v128.store(place, j1, 304);
  v128.store(place, k0, 320);
  v128.store(place, k1, 336);
  v128.store(place, l0, 352);
  v128.store(place, l1, 368);
  v128.store(place, m0, 384);
  v128.store(place, m1, 400);
}
