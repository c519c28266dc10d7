export * from './optimizer/index.js';
