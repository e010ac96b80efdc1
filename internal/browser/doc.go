// Package browser holds tests of the web pages in a real browser, Chromium without
// a window, against the real binary. They have the build tag integration.
package browser
