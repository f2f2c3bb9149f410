//! What a client came for. Main function: [`serve`]. Above: `server`. Below: `remote_command`, `port_forward`, `web_socket`.

use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    agree::{CommandProtocol, ForwardProtocol},
    backend::Backend,
    deadlines::Deadlines,
    http::{Arrival, Purpose},
    port_forward, remote_command, web_socket,
};

/// Serves a session until it has ended. Dropping the future ends it, too.
pub(crate) async fn serve<S>(arrival: Arrival<S>, backend: &impl Backend, deadlines: &Deadlines)
where
    S: AsyncRead + AsyncWrite,
{
    let Arrival {
        purpose,
        socket,
        place,
    } = arrival;
    match purpose {
        Purpose::Command(command, CommandProtocol::Spdy(version)) => {
            remote_command::over_spdy(socket, backend, command, version, deadlines).await;
        }
        Purpose::Command(command, CommandProtocol::WebSocket(version, encoding)) => {
            let spoken = (version, encoding);
            web_socket::command(socket, backend, command, spoken, deadlines).await;
        }
        Purpose::Forward(forward, ForwardProtocol::Spdy) => {
            port_forward::over_spdy(socket, backend, &forward.sandbox, deadlines).await;
        }
        Purpose::Forward(forward, ForwardProtocol::Tunnel) => {
            web_socket::tunnel(socket, backend, &forward.sandbox, deadlines).await;
        }
        Purpose::Forward(forward, ForwardProtocol::WebSocket(encoding)) => {
            web_socket::forward(socket, backend, forward, encoding, deadlines).await;
        }
    }
    drop(place);
}
