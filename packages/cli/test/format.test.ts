import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatBar, formatDuration, formatLoss, formatPercent, formatRate, formatTable } from '../src/view/format.js';

describe('numbers for people', () => {
  it.each([
    [0, '0 ms'],
    [0.0421, '42 ms'],
    [9.94, '9.9 s'],
    [59.4, '59 s'],
    [59.6, '1 min 00 s'],
    [185, '3 min 05 s'],
    [7620, '2 h 07 min'],
    [Number.POSITIVE_INFINITY, '–'],
  ])('show %d seconds as %s', (seconds, text) => {
    expect(formatDuration(seconds)).toBe(text);
  });

  it('show rates, shares and losses with the digits that matter', () => {
    expect(formatRate(12345.6)).toBe('12,346');
    expect(formatRate(12.345)).toBe('12.3');
    expect(formatPercent(0.99123)).toBe('99.12 %');
    expect(formatPercent(undefined)).toBe('–');
    expect(formatLoss(0.12345)).toBe('0.1235');
    expect(formatLoss(0.00001234)).toBe('1.23e-5');
  });
});

describe('a bar', () => {
  it('is as wide as asked for, whatever the share', () => {
    fc.assert(
      fc.property(fc.double({ min: -1, max: 2, noNaN: true }), fc.integer({ min: 1, max: 60 }), (share, width) => {
        expect(formatBar(share, width)).toHaveLength(width);
      }),
    );
  });

  it('is empty at 0, full at 1, and fills in eighths', () => {
    expect(formatBar(0, 4)).toBe('····');
    expect(formatBar(1, 4)).toBe('████');
    expect(formatBar(0.53125, 4)).toBe('██▏·');
  });
});

describe('a table', () => {
  it('aligns names to the left and numbers to the right', () => {
    expect(
      formatTable(
        ['name', 'n'],
        [
          ['a', '100'],
          ['long one', '7'],
        ],
      ),
    ).toBe(['name        n', '────────  ───', 'a         100', 'long one    7'].join('\n'));
  });
});
