// Icons, drawn as lines.

import { svg } from './elements.js';

const PATHS = {
  overview: 'M3 12h4l3-8 4 16 3-8h4',
  routes: 'M6 3v12a3 3 0 0 0 3 3h9M15 15l3 3-3 3M6 8h9M12 5l3 3-3 3',
  topics: 'M5 9h14M4 15h14M10 4 8 20M16 4l-2 16',
  sessions: 'M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7ZM2.5 20c.4-3.6 3-5.5 6.5-5.5s6.100 1.900 6.500 5.500M16 4.500a3.500 3.500 0 0 1 0 6.300M18 14.800c2 .8 3.300 2.600 3.500 5.200',
  plugins: 'M12 3 4 7.500v9L12 21l8-4.500v-9L12 3ZM4 7.500l8 4.500 8-4.500M12 12v9',
  reloads: 'M20 11a8 8 0 0 0-14.500-3.500L4 9M4 4v5h5M4 13a8 8 0 0 0 14.500 3.500L20 15M20 20v-5h-5',
  trace: 'M4 5h9M4 12h6M4 19h9M16.500 12a3 3 0 1 0 0-.01M18.700 14.200 21.500 17',
  ended: 'M9 4H6a2 2 0 0 0-2 2v12a2 2 0 0 0 2 2h3M15 8l4 4-4 4M19 12H9',
  publish: 'M21 3 10 14M21 3l-7 18-4-7-7-4 18-7Z',
  search: 'M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14ZM16 16l4.500 4.500',
  menu: 'M4 7h16M4 12h16M4 17h16',
  close: 'M6 6l12 12M18 6 6 18',
  theme: 'M12 3a9 9 0 1 0 0 18V3Z',
  leave: 'M14 4h4a2 2 0 0 1 2 2v12a2 2 0 0 1-2 2h-4M9 8l-4 4 4 4M5 12h10',
  play: 'M7 4v16l13-8L7 4Z',
  stop: 'M6 6h12v12H6Z',
  user: 'M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8ZM4 21c.6-4.200 3.600-6 8-6s7.400 1.800 8 6',
};

/** An icon by its name; it says nothing to screen readers. */
export function icon(name) {
  return svg('svg', { class: 'icon', viewBox: '0 0 24 24', 'aria-hidden': 'true' }, svg('path', { d: PATHS[name] }));
}
