// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"fmt"

	"postern.dev/postern/apis/postern"
)

// unwanted is the message of a delivery that nothing wants. It names what was pushed as targets have to name it, since a
// target that should have wanted it names something else.
func unwanted(by string, events []postern.DeliveryEvent) string {
	if len(events) == 0 {
		return by + " wants what was pushed"
	}
	message := by + " wants " + bounded(whatWasPushed(&events[0]))
	switch others := len(events) - 1; others {
	case 0:
		return message
	case 1:
		return message + ", or the other ref"
	default:
		return message + fmt.Sprintf(", or the %d other refs", others)
	}
}

// whatWasPushed names an image with its registry, and a git ref with its repository if the sender tells it.
func whatWasPushed(event *postern.DeliveryEvent) string {
	switch {
	case event.Image != nil:
		return imageName(event.Image) + ":" + event.Ref
	case event.Repository != "":
		return event.Ref + " of " + event.Repository
	}
	return event.Ref
}

func imageName(image *postern.ImageReference) string { return image.Host + "/" + image.Repository }
