package native

import (
	"context"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/api"
)

// maxSettingsBody bounds the body of a change of settings, in bytes.
const maxSettingsBody = 64 << 10

// Sharing is how the settings that all nodes of a cluster share are looked at and
// changed. Change blocks for half a minute at most; a name with nil is taken out.
type Sharing struct {
	Show   func() api.ClusterSettings
	Change func(ctx context.Context, change map[string]*string) (api.ClusterSettings, error)
}

// ClusterSettingsRoute is the route at api.ClusterSettingsPath; nil: the node is alone.
func ClusterSettingsRoute(sharing *Sharing) Route {
	alone := func() error {
		return Refuse(fasthttp.StatusNotFound, typeNotFound, "the node is alone, and belongs to no cluster whose nodes could share settings")
	}
	show := func(r *Request) error {
		if sharing == nil {
			return alone()
		}
		return r.JSON(sharing.Show())
	}
	change := func(r *Request) error {
		if sharing == nil {
			return alone()
		}
		var wanted map[string]*string
		if err := r.Decode(maxSettingsBody, &wanted); err != nil {
			return err
		}
		if len(wanted) == 0 {
			return Refuse(fasthttp.StatusBadRequest, "", "no setting is named: the body is an object of names and values, null to take one out")
		}
		settings, err := sharing.Change(r.Context(), wanted)
		if err != nil {
			return err
		}
		return r.JSON(settings)
	}
	return Route{Path: api.ClusterSettingsPath, Guard: Control, Handle: Verbs{get: show, patch: change}.Handle}
}
