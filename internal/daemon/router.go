package daemon

import (
	"sync/atomic"

	"postrider/internal/address"
	"postrider/policy"
)

// router lets a reload replace the routes under everybody's feet.
type router struct{ current atomic.Pointer[policy.Routes] }

func newRouter(r *policy.Routes) *router {
	var v router
	v.current.Store(r)
	return &v
}

// Route implements delivery.Router.
func (r *router) Route(from, to address.Address) policy.Route {
	return r.current.Load().Route(from, to)
}

// Destination implements submission.Router.
func (r *router) Destination(from, to address.Address) string {
	return r.current.Load().Destination(from, to)
}
