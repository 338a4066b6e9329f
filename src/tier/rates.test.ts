import { describe, expect, test } from "vitest";
import { TransferRates } from "./rates.js";

const MIB = 1024 * 1024;
const MINUTE = 60_000;

/** Reads so many bytes in so many milliseconds, in four answers of which two are under way at a time. */
function read(rates: TransferRates, from: number, bytes: number, ms: number): void {
  rates.sent(from);
  rates.sent(from);
  rates.answered(from + ms / 4, bytes / 4);
  rates.sent(from + ms / 4);
  rates.answered(from + ms / 2, bytes / 4);
  rates.sent(from + ms / 2);
  rates.answered(from + (3 * ms) / 4, bytes / 4);
  rates.answered(from + ms, bytes / 4);
}

describe("rates", () => {
  test("nothing is known before anything was measured", () => {
    const rates = new TransferRates();
    expect(rates.bytesPerMs(0)).toBe(null);
    expect(rates.measuredBytesPerMs).toBe(null);
    expect(rates.roundTripMs).toBe(null);
    expect(rates.changesAt(0)).toBe(null);
  });

  test("bytes in the time in which anything was under way; idle time does not count", () => {
    const rates = new TransferRates();
    read(rates, 0, MIB, 10);
    read(rates, 5000, MIB, 10);
    expect(rates.bytesPerMs(5010)).toBeCloseTo(MIB / 10);
  });

  test("an answer without bytes and with nothing beside it is a round trip, and says nothing of the rate", () => {
    const rates = new TransferRates();
    rates.sent(0);
    rates.answered(3, 0);
    expect(rates.roundTripMs).toBe(3);
    expect(rates.bytesPerMs(3)).toBe(null);
    // Two at once: the second waits for the first.
    rates.sent(10);
    rates.sent(10);
    rates.answered(30, 0);
    rates.answered(30, 0);
    expect(rates.roundTripMs).toBe(3);
    rates.sent(40);
    rates.answered(53, 0);
    expect(rates.roundTripMs).toBeCloseTo(6);
  });

  test("the round trip is no part of the rate", () => {
    const rates = new TransferRates();
    rates.observeRoundTrip(2);
    read(rates, 0, MIB, 10);
    expect(rates.bytesPerMs(10)).toBeCloseTo(MIB / 8);
  });

  test("few bytes say nothing of the rate", () => {
    const rates = new TransferRates();
    read(rates, 0, 4096, 10);
    expect(rates.bytesPerMs(10)).toBe(null);
  });

  test("what never comes does not count: whether a store answers is not a rate", () => {
    const rates = new TransferRates();
    rates.sent(0);
    rates.sent(0);
    rates.answered(10, MIB);
    rates.abandoned();
    expect(rates.bytesPerMs(250)).toBeCloseTo(MIB / 10);
    rates.sent(1000);
    rates.abandoned();
    expect(rates.bytesPerMs(1250)).toBeCloseTo(MIB / 10);
  });

  test("later measurements count more", () => {
    const rates = new TransferRates();
    read(rates, 0, MIB, 10);
    for (let i = 1; i <= 20; i++) read(rates, i * 100, MIB, 100);
    expect(rates.bytesPerMs(2100)).toBeLessThan((MIB / 100) * 1.01);
  });

  test("a long read is measured while it goes on", () => {
    const rates = new TransferRates();
    rates.sent(0);
    for (let i = 1; i <= 8; i++) {
      rates.sent(i * 10);
      rates.answered(i * 10, MIB);
    }
    expect(rates.bytesPerMs(80)).toBeCloseTo(MIB / 10);
  });

  test("an old bad rate is told as a good one, once a minute at first, and later where that was no use", () => {
    const rates = new TransferRates();
    read(rates, 0, MIB, 1000);
    const bad = MIB / 1000;
    expect(rates.bytesPerMs(MINUTE)).toBeCloseTo(bad);
    expect(rates.changesAt(1000)).toBe(MINUTE + 1000);
    expect(rates.bytesPerMs(MINUTE + 1000)).toBe(1e6);
    expect(rates.changesAt(MINUTE + 1000)).toBe(null);
    // The link is as slow as ever.
    read(rates, 2 * MINUTE, MIB, 1000);
    expect(rates.bytesPerMs(2 * MINUTE + 1000)).toBeCloseTo(bad);
    expect(rates.changesAt(2 * MINUTE + 1000)).toBe(4 * MINUTE + 1000);
    // Now it is fast: what was measured long ago says nothing any more.
    read(rates, 5 * MINUTE, MIB, 1);
    expect(rates.bytesPerMs(5 * MINUTE + 1)).toBeCloseTo(MIB);
    expect(rates.changesAt(5 * MINUTE + 1)).toBe(null);
    // And slow again: a minute, as at first.
    for (let i = 0; i < 40; i++) read(rates, 5 * MINUTE + 1000 * (i + 1), MIB, 1000);
    expect(rates.changesAt(5 * MINUTE + 41_000)).toBe(6 * MINUTE + 41_000);
  });

  test("a good rate that is old is told as it is", () => {
    const rates = new TransferRates();
    read(rates, 0, 4 * MIB, 1);
    expect(rates.bytesPerMs(10 * MINUTE)).toBeCloseTo(4 * MIB);
    expect(rates.changesAt(0)).toBe(null);
  });

  test("tries of a link that stays slow come at most ten minutes apart", () => {
    const rates = new TransferRates();
    let now = 0;
    const pauses: number[] = [];
    for (let i = 0; i < 8; i++) {
      read(rates, now, MIB, 1000);
      const next = rates.changesAt(now + 1000)!;
      pauses.push((next - now - 1000) / MINUTE);
      now = next;
    }
    expect(pauses.map((minutes) => Math.round(minutes * 10) / 10)).toEqual([
      1, 2, 4, 8, 10.7, 10.7, 10.7, 10.7,
    ]);
  });
});
