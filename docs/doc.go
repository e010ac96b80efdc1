// Package docs holds what is written about ribtap for people. Its test, with the
// build tag integration, does what the tutorial says.
package docs
