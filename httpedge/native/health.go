package native

import (
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
)

// health answers liveness, and with ?readiness=true or ?prr=true whether the
// node may serve now, and if not, why. It needs no token.
func health(r *Request) error {
	uptime := nanoseconds(r.h.Now().Sub(r.h.Started))
	r.set("Ais-Node-Uptime", uptime)
	r.set("Ais-Cluster-Uptime", uptime)
	for _, name := range []string{"readiness", "prr"} {
		asked, err := r.Flag(name)
		if err != nil {
			return err
		}
		if asked {
			return r.ready()
		}
	}
	return nil
}

// ready fails if no mountpath can be used, or the cluster does not count on the node.
func (r *Request) ready() error {
	if r.h.Unready != nil {
		if why := r.h.Unready(); why != "" {
			return Refuse(fasthttp.StatusServiceUnavailable, "", "%s", why)
		}
	}
	var away []string
	for _, m := range r.h.Roster().Mountpaths {
		if m.Offline == "" {
			return nil
		}
		away = append(away, m.Path+": "+m.Offline)
	}
	return Refuse(fasthttp.StatusServiceUnavailable, "", "no mountpath can be used: %s", strings.Join(away, "; "))
}

func nanoseconds(d time.Duration) string { return strconv.FormatInt(d.Nanoseconds(), 10) }
