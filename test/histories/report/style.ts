/**
 * Colours of Okabe and Ito, which people with any colour vision can tell apart, darker on light ground and lighter on dark; dashes say the
 * same once more.
 */
export const STYLE = `
:root { color-scheme: light dark; --ground: #ffffff; --ink: #1b1f24; --faint: #57606a; --rule: #d8dee4;
  --one: #0072b2; --two: #c24e00; --three: #00795a; --band: #8c959f; --bar: #8250a0; --good: #00795a; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ground: #14181d; --ink: #e6edf3; --faint: #9aa5b1; --rule: #30363d;
  --one: #56b4e9; --two: #e69f00; --three: #2fc79a; --band: #8c959f; --bar: #cc9be0; --good: #2fc79a; --bad: #ff8a80; } }
body { margin: 0 auto; max-width: 1140px; padding: 24px 16px; background: var(--ground); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 24px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 32px 0 8px; }
dl { display: flex; flex-wrap: wrap; gap: 8px 28px; margin: 12px 0; } dt { color: var(--faint); font-size: 13px; } dd { margin: 0; font-size: 18px; }
svg { display: block; width: 100%; height: auto; margin: 8px 0; }
svg text { font: 12px system-ui, sans-serif; fill: var(--ink); } svg .heading { font-size: 14px; font-weight: 600; } svg .unit { fill: var(--faint); }
.grid { stroke: var(--rule); } .axis { stroke: var(--faint); }
.band { fill: var(--band); fill-opacity: 0.22; } .bar { fill: var(--bar); }
.change { stroke: var(--faint); stroke-dasharray: 2 4; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.s1 { stroke: var(--one); } .s2 { stroke: var(--two); stroke-dasharray: 7 4; } .s3 { stroke: var(--three); stroke-dasharray: 1 4; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; } th, td { padding: 3px 12px 3px 0; text-align: right; border-bottom: 1px solid var(--rule); }
th:first-child, td:first-child { text-align: left; } .wide { overflow-x: auto; }
.holds { color: var(--good); font-weight: 600; } .violated { color: var(--bad); font-weight: 600; }
pre { white-space: pre-wrap; margin: 4px 0 4px 16px; } .note { color: var(--faint); font-size: 13px; }
`;
