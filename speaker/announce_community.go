package speaker

import "strings"

type communityKind uint8

const (
	communityStandard communityKind = iota
	communityLarge
	communityExtended
)

// kindOfCommunity tells the kinds apart by their look: numbers joined by two
// colons, something with a colon that begins with a letter or 0x, and the rest.
func kindOfCommunity(text string) communityKind {
	first, _, paired := strings.Cut(text, ":")
	switch {
	case strings.HasPrefix(text, "0x"):
		return communityExtended
	case paired && strings.Trim(first, "0123456789") != "":
		return communityExtended
	case strings.Count(text, ":") == 2:
		return communityLarge
	case text == "default-gateway": // the one extended community of a word alone
		return communityExtended
	}
	return communityStandard
}
